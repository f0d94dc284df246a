"""What a type checker must reject when events are handled."""

from dataclasses import dataclass

from event_backbone import Backbone, Batch, Consumer, Context, Contract, Worker, event
from event_backbone.testing import batch, context


class Shop(Contract):
    """A base contract."""

    @event
    def opened(self, at: str) -> None:
        """The shop opens."""


class Ship(Shop):
    """The contract of the consumer."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed."""


class Other(Contract):
    """Another contract with the same event."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed."""


consumer = Consumer(Ship)


@consumer.on(Ship.packing)
async def right(ctx: Context, email: str, product_id: int) -> None:
    """The one that fits."""


@consumer.on(Ship.packing)  # expect-error: wrong type
async def wrong_type(ctx: Context, email: str, product_id: str) -> None:
    """Takes another type."""


@consumer.on(Ship.packing)  # expect-error: missing argument
async def missing_argument(ctx: Context, email: str) -> None:
    """Takes too few."""


@consumer.on(Ship.packing)  # expect-error: an argument that the event does not have
async def another_argument(ctx: Context, email: str, product_id: int, colour: str) -> None:
    """Takes too many."""


@consumer.on(Ship.packing)  # expect-error: another name
async def another_name(ctx: Context, email: str, identity: int) -> None:
    """Takes another name, by which it would be called."""


@consumer.on(Ship.packing)  # expect-error: no context
async def no_context(email: str, product_id: int) -> None:
    """Takes no context."""


@consumer.on(Ship.packing)  # expect-error: not async
def not_async(ctx: Context, email: str, product_id: int) -> None:
    """Returns at once."""


@consumer.on(Ship.lost)  # expect-error: unknown event
async def unknown_event(ctx: Context) -> None:
    """Handles what is not there."""


@consumer.on(Other.packing)  # expect-error: an event of another contract
async def another_contract(ctx: Context, email: str, product_id: int) -> None:
    """Handles what its consumer never sees."""


@dataclass
class Services:
    """What handlers need."""

    number: int


served = Consumer(Ship, services=Services)


@served.on(Ship.packing)  # expect-error: other services
async def other_services(ctx: Context[str], email: str, product_id: int) -> None:
    """Expects what it does not get."""


@served.on(Ship.packing)
async def misnamed(ctx: Context[Services], email: str, product_id: int) -> None:
    """Asks for what is not there."""
    assert ctx.services.numbr  # expect-error: no such service


@consumer.on(Ship.packing)
async def none(ctx: Context, email: str, product_id: int) -> None:
    """Asks for services where there are none."""
    assert ctx.services.number  # expect-error: there are no services


def subscribe(backbone: Backbone) -> None:
    """Services are missing, wrong, or too many."""
    backbone.subscribe(served, uri="ship", group="g")  # expect-error: no services
    backbone.subscribe(served, services="none", uri="ship", group="g")  # expect-error: of another type
    backbone.subscribe(consumer, services=Services(1), uri="ship", group="g")  # expect-error: none declared


async def replay(backbone: Backbone) -> None:
    """Services are as for a subscription, and so are the names of options."""
    await backbone.replay(served, "ship")  # expect-error: no services
    await backbone.replay(served, "ship", services="none")  # expect-error: of another type
    await backbone.replay(consumer, "ship", lease=1)  # expect-error: there is no lease


async def call() -> None:
    """A unit test gives the wrong services."""
    await misnamed(context(services=1), "a@b.c", 7)  # expect-error: of another type


base_consumer = Consumer(Shop)


@base_consumer.on(Ship.packing)  # expect-error(pyright): an event of a subclass, which mypy takes for the base's
async def event_of_a_subclass(ctx: Context, email: str, product_id: int) -> None:
    """Handles what its consumer's contract does not have."""


class Handlers:
    """Handlers as bound methods."""

    async def packing(self, ctx: Context, email: str) -> None:
        """Takes too few."""


consumer.on(Ship.packing)(Handlers().packing)  # expect-error: a bound method with another signature


def row(email: str, product_id: int) -> str:
    """Takes the arguments of the event."""
    return f"{email} {product_id}"


def other_row(email: str, product_id: str) -> str:
    """Takes another type."""
    return email + product_id


batched = Consumer(Ship, services=Services)


@batched.on_batch(Ship.packing, most=10)
async def right_batch(batch: Batch[[str, int], Services]) -> None:
    """The one that fits."""
    assert batch.services.number
    for each in batch:
        each.call(row)
        each.call(other_row)  # expect-error: a function that takes another type
        each.call(len)  # expect-error: a function that takes fewer
        assert each.ctx.services.numbr  # expect-error: no such service
        each.retry(5)  # expect-error: not a duration


@batched.on_batch(Ship.packing)  # expect-error: the types of another event
async def wrong_batch(batch: Batch[[str, str], Services]) -> None:
    """Takes another type."""


@batched.on_batch(Ship.packing)  # expect-error: other services
async def batch_without_services(batch: Batch[[str, int], Other]) -> None:
    """Needs other services."""


@batched.on_batch(Ship.packing)  # expect-error: one event, not a batch
async def no_batch(ctx: Context[Services], email: str, product_id: int) -> None:
    """Handles single events."""


@batched.on_batch(Other.packing)  # expect-error: an event of another contract
async def batch_of_another(batch: Batch[[str, int], Services]) -> None:
    """Handles what its consumer's contract does not have."""


async def call_batch() -> None:
    """A unit test gives the wrong services, or the arguments of another event."""
    await right_batch(batch(Ship.packing, [{"email": "a@b.c", "product_id": 7}], services=1))  # expect-error: services
    await right_batch(batch(Ship.opened, [{"at": "noon"}], services=Services(1)))  # expect-error: another event


def subscribe_to_several(backbone: Backbone) -> Worker:
    """Several URIs make a worker, and need services, too."""
    backbone.subscribe(served, uri=["north", "south"], group="g")  # expect-error: no services
    backbone.subscribe(consumer, uri=[1, 2], group="g")  # expect-error: no URIs
    return backbone.subscribe(consumer, uri="north", group="g")  # expect-error: one URI makes a subscription
