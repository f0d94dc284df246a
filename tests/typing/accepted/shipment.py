"""What a type checker must accept: the public surface as the README shows it."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol, assert_type
from uuid import UUID

from pydantic import BaseModel, JsonValue

from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, EventDefinition, assert_round_trip, event
from event_backbone.model import EventKey


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
