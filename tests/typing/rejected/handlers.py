"""What a type checker must reject when events are handled."""

from dataclasses import dataclass

from event_backbone import Backbone, Consumer, Context, Contract, event
from event_backbone.testing import context


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
