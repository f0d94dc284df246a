"""What a type checker must accept: the public surface as the README shows it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, assert_type
from uuid import UUID

from pydantic import BaseModel, JsonValue

from event_backbone import (
    Backbone,
    Batch,
    Consumer,
    Context,
    Contract,
    EventKey,
    HandleInterceptor,
    StoredEvent,
    Subscription,
    Worker,
    event,
)
from event_backbone.contract import EventDefinition, assert_round_trip
from event_backbone.testing import batch, context


class User(BaseModel):
    """Who ordered."""

    name: str


class Shop(Contract):
    """A base contract."""

    @event
    def opened(self, at: datetime) -> None:
        """The shop opens."""


class Ship(Shop):
    """A contract with one event of each form."""

    @event
    def order_placed(self, user: User, time: datetime) -> None:
        """A customer placed an order."""

    @event(name="packing", version=2, key="email")
    def packing(self, email: str, product_id: int = 0, *, fragile: bool = False) -> None:
        """The parcel is being packed."""

    @event()
    def nothing(self) -> None:
        """Has no arguments."""


async def produce(ship: Ship) -> None:
    """An instance is the typed producer."""
    key = await ship.packing("a@b.c", 1, fragile=True)
    assert_type(key, EventKey)
    await ship.packing(email="a@b.c")
    await ship.nothing()
    await ship.opened(datetime.now(UTC))
    await ship.order_placed.using(event_id=UUID(int=1), correlation_id="c")(User(name="n"), datetime.now(UTC))
    task = asyncio.create_task(ship.nothing())
    assert_type(await task, EventKey)


consumer = Consumer(Ship)


@consumer.on(Ship.order_placed)
async def on_order_placed(ctx: Context, user: User, time: datetime) -> None:
    """The event's own arguments after the context."""


@consumer.on(Ship.packing)
async def on_packing(ctx: Context, email: str, product_id: int = 0, *, fragile: bool = False) -> None:
    """The event's own defaults are repeated."""


@consumer.on(Ship.nothing)
async def on_nothing(ctx: Context) -> None:
    """No arguments."""


@consumer.on(Ship.opened)
async def on_opened(ctx: Context, at: datetime) -> None:
    """An inherited event."""


class Clock(Protocol):
    """A dependency of a handler."""

    def now(self) -> datetime:
        """Return the time."""
        ...


class Handlers:
    """Handlers may be bound methods."""

    def __init__(self, clock: Clock) -> None:
        """Keep the dependency."""
        self.clock = clock

    async def order_placed(self, ctx: Context, user: User, time: datetime) -> None:
        """Repeats the event's arguments."""


@dataclass(frozen=True)
class Services:
    """What handlers need."""

    producer: Ship
    clock: Clock


served = Consumer(Ship, services=Services)
assert_type(served, Consumer[Ship, Services])
assert_type(consumer, Consumer[Ship, None])


@served.on(Ship.packing)
async def packing(ctx: Context[Services], email: str, product_id: int = 0, *, fragile: bool = False) -> None:
    """Finds its services in the context."""
    assert_type(ctx.services.producer, Ship)
    await ctx.services.producer.nothing()


@served.on(Ship.nothing)
async def needs_nothing(ctx: Context[object]) -> None:
    """May leave its services alone."""


@served.fallback
async def rest(ctx: Context[Services], stored: StoredEvent) -> None:
    """A fallback has them too."""


async def trace(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
    """An interceptor of handlers with any services."""
    await call_next(ctx)


async def replay(backbone: Backbone, services: Services) -> int:
    """A consumer is replayed with its services; the report says what was done."""
    report = await backbone.replay(served, "ship", services=services, concurrency=1, dry_run=True)
    again = await backbone.replay(consumer, "ship", start=report.next, on_failure="continue")
    return report.events + again.events


async def subscribe(backbone: Backbone, services: Services) -> Worker:
    """Services are given where the consumer declares them; a unit test gives them to the context."""
    interceptors: list[HandleInterceptor] = [trace]
    assert interceptors
    await packing(context(services=services, attempt=2), "a@b.c")
    await on_nothing(context(event="nothing"))
    return Worker(
        backbone.subscribe(served, services=services, uri="ship", group="g", concurrency=1),
        backbone.subscribe(consumer, uri="ship", group="h"),
    )


def store(user: User, time: datetime) -> str:
    """Takes an event's arguments."""
    return f"{user.name} {time}"


@served.on_batch(Ship.order_placed, most=100)
async def orders(batch: Batch[[User, datetime], Services]) -> None:
    """A batch handler names the types of the arguments."""
    assert_type(batch.services, Services)
    assert_type([each.call(store) for each in batch], list[str])
    assert_type(batch[0].ctx, Context[Services])


batched = Consumer(Ship)


@batched.on_batch(Ship.packing)
async def any_arguments(batch: Batch[...]) -> None:
    """It may leave them open, as of an event with keyword-only arguments."""
    batch[0].reject("no")


async def call_batches(backbone: Backbone, services: Services) -> None:
    """A unit test makes a batch; one URI makes a subscription, several make a worker."""
    one = {"user": User(name="n"), "time": datetime.now(UTC)}
    await orders(batch(Ship.order_placed, [one, one], services=services))
    await any_arguments(batch(Ship.packing, [{"email": "a@b.c"}]))
    assert_type(backbone.subscribe(batched, uri="ship", group="g"), Subscription)
    several = backbone.subscribe(served, services=services, uri=["north", "south"], group="g", concurrency=1)
    assert_type(several, Worker)
    Worker(several, backbone.subscribe(batched, uri=("ship",), group="g"))


def build_consumer(handlers: Handlers) -> Consumer[Ship]:
    """Register bound methods."""
    made = Consumer(Ship)
    made.on(Ship.order_placed)(handlers.order_placed)
    return made


@Ship.packing.upcast(from_version=1)
def packing_from_one(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """An upcaster sees JSON values."""
    return {**arguments, "fragile": False}


assert_type(Ship.packing.definition, EventDefinition)
assert_round_trip(Ship.packing, "a@b.c", fragile=True)
