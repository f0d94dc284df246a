"""What tests of the producing side share: a stream in memory that is blocked or refuses, and calls that wait for it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from event_backbone.contract import bind
from event_backbone.errors import BackboneError, StreamError, StreamUnavailable
from event_backbone.model import EventKey, StreamName, new_event_id
from event_backbone.producer import Batcher, Producer
from event_backbone.storage import MemoryStorage, Storage, StorageScope
from event_backbone.stream.values import NewEntry
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream

NAME = StreamName.of("shipments", "test")
SOON = timedelta(milliseconds=200)


def producer_of(
    batcher: Batcher, timeout: timedelta = timedelta(seconds=10), *, storage: Storage | None = None
) -> ShipmentTracking:
    """Return a typed producer that sends with this batcher, its payloads in memory unless a storage is given."""
    producer = Producer(batcher, storage or MemoryStorage(), StorageScope(NAME), timeout=timeout)
    return bind(ShipmentTracking, producer)


async def turns(count: int = 10) -> None:
    """Let every task that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def start(producer: ShipmentTracking, texts: Sequence[str]) -> list[asyncio.Task[EventKey]]:
    """Begin a call for each text."""
    return [asyncio.create_task(producer.note(text)) for text in texts]


async def count_entries(stream: HeldStream) -> int:
    """Return how many entries are in the stream."""
    return len(await stream.range(None, None, 10_000))


def later() -> float:
    """Return a deadline that no test reaches."""
    return asyncio.get_running_loop().time() + 5


def new_entry() -> NewEntry:
    """Return an entry with a new event id."""
    return NewEntry(new_event_id(), b"{}")


class Refusing(HeldStream):
    """A stream that refuses every event for now, as a full Redis does."""

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Refuse."""
        return [StreamUnavailable("Redis is out of memory.") for _ in entries]


class RefusingLater(HeldStream):
    """A stream that takes the first batch, and refuses each event of every later one."""

    def __init__(self, stream: HeldStream, refusal: BackboneError) -> None:
        super().__init__(stream)
        self._refusal = refusal

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Pass on the first batch, then refuse."""
        if not self.batches:
            return await super().append(entries)
        if isinstance(self._refusal, StreamError):
            return [self._refusal for _ in entries]
        raise self._refusal
