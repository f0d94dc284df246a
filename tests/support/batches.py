"""A consumer that handles events in batches, and remembers them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from event_backbone import Backbone, Batch, BatchedEvent, Consumer, RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())
LONG = timedelta(seconds=30)


class Gathering:
    """A consumer that remembers the numbers of each batch, and then does what ``act`` does."""

    def __init__(self, most: int = 100, within: timedelta = timedelta(milliseconds=50)) -> None:
        self.batches: list[list[int]] = []
        self.act: Callable[[Batch[[int]]], Awaitable[None]] | None = None
        self.consumer = Consumer(Parcels)
        self.consumer.on_batch(Parcels.packed, most=most, within=within)(self.packed)

    async def packed(self, batch: Batch[[int]]) -> None:
        """Remember, and act."""
        self.batches.append([number(each) for each in batch])
        if self.act is not None:
            await self.act(batch)

    @property
    def numbers(self) -> list[int]:
        """All numbers, in order."""
        return [number for batch in self.batches for number in batch]


def number(each: BatchedEvent[[int], Any]) -> int:
    """Return the argument of an event."""
    return each.call(lambda number: number)


async def reasons(backbone: Backbone) -> dict[int, str]:
    """Return the reason of each dead letter, by the number of its event."""
    numbers = {
        each.key: each.as_(Parcels.packed).call(lambda number: number) async for each in backbone.reader(URI).scan()
    }
    letters = backbone.dead_letters(URI, GROUP).list()
    return {numbers[each.key]: f"{each.reason} {each.detail}".strip() async for each in letters}
