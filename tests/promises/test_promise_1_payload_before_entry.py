"""Promise 1: the payload is saved before its entry is appended."""

import asyncio

import pytest

from event_backbone.contract import bind
from event_backbone.errors import StorageUnavailable
from event_backbone.model import SavedPayload, StreamName
from event_backbone.producer import Batcher, Producer
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.stream.memory import MemoryStreams
from event_backbone.wire import Record
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream

NAME = StreamName.of("shipments", "test")


class CountingStorage(MemoryStorage):
    """Payloads in memory; ``saved`` counts them, and with ``failing`` none is saved."""

    saved = 0
    failing = False

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save, count, and let others run first."""
        if self.failing:
            raise StorageUnavailable("S3 is away.")
        answer = await super().save(scope, record)
        self.saved += 1
        return answer


@pytest.fixture
def stream() -> HeldStream:
    """A stream in memory."""
    return HeldStream(MemoryStreams().stream(NAME))


@pytest.fixture
def storage() -> CountingStorage:
    """A storage in memory."""
    return CountingStorage()


@pytest.fixture
def producer(stream: HeldStream, storage: CountingStorage) -> ShipmentTracking:
    """A producer of that stream, with payloads in that storage."""
    return bind(ShipmentTracking, Producer(Batcher(stream), storage, StorageScope(NAME)))


async def test_promise_1_the_payload_is_saved_before_its_entry_is_appended(
    producer: ShipmentTracking, stream: HeldStream, storage: CountingStorage
) -> None:
    """Whenever entries are appended, all their payloads have been saved."""
    seen: list[tuple[int, int]] = []
    stream.on_append = lambda: seen.append((storage.saved, sum(map(len, stream.batches))))
    await asyncio.gather(*(producer.note(str(number)) for number in range(50)))
    assert sum(map(len, stream.batches)) == 50
    assert all(saved >= appended for saved, appended in seen)


async def test_promise_1_without_a_payload_there_is_no_entry(
    producer: ShipmentTracking, stream: HeldStream, storage: CountingStorage
) -> None:
    """When the storage fails, the stream stays empty, and the caller gets the storage's error."""
    storage.failing = True
    with pytest.raises(StorageUnavailable, match="S3 is away"):
        await producer.note("x")
    assert not stream.batches
