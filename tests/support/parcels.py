"""A contract that tests of consumers share, and a consumer that remembers what it was given."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from event_backbone import Backbone, Consumer, Context, Contract, Subscription, event
from event_backbone.stream.values import GroupState

URI = "parcels"
GROUP = "main-consumer"


class Parcels(Contract):
    """What happens to parcels."""

    @event
    def packed(self, number: int) -> None:
        """A parcel is packed."""

    @event
    def sent(self, number: int, email: str) -> None:
        """A parcel is on its way."""


class Remembering:
    """Handles ``packed`` by remembering it; ``running`` is set once it has been called."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.attempts: list[int] = []
        self.running = asyncio.Event()
        self.consumer = Consumer(Parcels)
        self.consumer.on(Parcels.packed)(self.packed)

    async def packed(self, ctx: Context, number: int) -> None:
        """Remember."""
        self.numbers.append(number)
        self.attempts.append(ctx.attempt)
        self.running.set()


class Stuck(Remembering):
    """Remembers an event, then handles it until ``release`` is set; all of them are released at once.

    When it is cancelled instead, it sets ``cancelled``, and ends when ``cleaned`` is set, as it is from the start.
    """

    def __init__(self) -> None:
        super().__init__()
        self.release, self.cancelled, self.cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.cleaned.set()

    async def packed(self, ctx: Context, number: int) -> None:
        """Remember, and wait."""
        await super().packed(ctx, number)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.cleaned.wait()
            raise


async def pack(backbone: Backbone, *numbers: int) -> None:
    """Produce one ``packed`` for each number, in order."""
    producer = backbone.producer(Parcels, uri=URI)
    for number in numbers:
        await producer.packed(number)


async def group_state(backbone: Backbone) -> GroupState:
    """Return the state of the only group."""
    (state,) = await backbone.groups(URI)
    return state


async def nothing_is_left(backbone: Backbone) -> bool:
    """Return whether the group has read and finished everything."""
    state = await group_state(backbone)
    return (state.pending, state.unread) == (0, 0)


async def run_to_the_end(subscription: Subscription, within_seconds: float = 20.0) -> None:
    """Run a subscription until it ends."""
    async with asyncio.timeout(within_seconds), subscription:
        await subscription.wait()


@asynccontextmanager
async def stopped_within(subscription: Subscription, within_seconds: float = 20.0) -> AsyncGenerator[Subscription]:
    """Run a subscription for the time of the block, and fail when it does not end in time."""
    async with asyncio.timeout(within_seconds), subscription:
        yield subscription
