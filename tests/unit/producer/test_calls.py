"""One produce call: payload before entry, deadlines of storages, and what is in the metadata. In memory."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from event_backbone.contract import Contract, bind, event
from event_backbone.errors import ArgumentsInvalid, NotSent
from event_backbone.interceptors import Outgoing
from event_backbone.model import EventKey, HashWrite, PayloadReference, SavedPayload, StreamName, new_event_id
from event_backbone.producer import Batcher, Producer
from event_backbone.reader import Reader
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.storage.base import WritePlan
from event_backbone.stream.memory import MemoryStreams
from event_backbone.testing import context
from event_backbone.wire import Record, read_entry
from tests.support.shipment import ShipmentTracking
from tests.support.spans import CollectedSpans
from tests.support.streams import HeldStream

NAME = StreamName.of("shipments", "test")
SCOPE = StorageScope(NAME)


class _HeldStorage(MemoryStorage):
    """Payloads in memory; each save waits until ``open`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.saving = 0

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save, unless blocked."""
        self.saving += 1
        try:
            await self.open.wait()
            return await super().save(scope, record)
        finally:
            self.saving -= 1


@pytest.fixture
def stream() -> HeldStream:
    """A stream in memory."""
    return HeldStream(MemoryStreams().stream(NAME))


@pytest.fixture
def storage() -> _HeldStorage:
    """A storage that can be blocked."""
    return _HeldStorage()


def _producer(
    stream: HeldStream, storage: MemoryStorage, timeout: timedelta = timedelta(seconds=10), queue_events: int = 4096
) -> ShipmentTracking:
    return bind(ShipmentTracking, Producer(Batcher(stream, queue_events=queue_events), storage, SCOPE, timeout=timeout))


async def test_payloads_are_saved_in_parallel(stream: HeldStream, storage: _HeldStorage) -> None:
    """No save waits for another one, as long as there is capacity."""
    storage.open.clear()
    producer = _producer(stream, storage, queue_events=20)
    calls = [asyncio.create_task(producer.note(str(number))) for number in range(30)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert storage.saving == 20
    storage.open.set()
    assert len(set(await asyncio.gather(*calls))) == 30


async def test_a_storage_that_hangs_ends_in_not_sent(stream: HeldStream, storage: _HeldStorage) -> None:
    """The deadline applies to the payload too; nothing is in the stream."""
    storage.open.clear()
    with pytest.raises(NotSent, match="memory did not save the payload in time"):
        await _producer(stream, storage, timedelta(milliseconds=100)).note("x")
    assert not stream.batches


async def test_cancelled_while_saving_releases_its_capacity(stream: HeldStream, storage: _HeldStorage) -> None:
    """A cancelled call leaves nothing in the way of others."""
    producer = _producer(stream, storage, queue_events=1)
    storage.open.clear()
    cancelled = asyncio.create_task(producer.note("cancelled"))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    storage.open.set()
    async with asyncio.timeout(5):
        await producer.note("next")


class _PlannedStorage(MemoryStorage):
    """A storage whose payloads are written with their entries."""

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Write a hash under a name of this test."""
        return lambda event_id, payload: HashWrite(f"test:{scope.stream.uri}:{event_id}", payload)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Fail: with a write plan there is nothing to save first."""
        raise AssertionError


async def test_a_storage_with_a_write_plan_is_written_with_the_entry(stream: HeldStream) -> None:
    """Whichever storage it is, the entry carries the hash, and refers to it by the event id."""
    key = await _producer(stream, _PlannedStorage()).note("x")
    ((entry,),) = stream.batches
    assert entry.writes == (HashWrite(f"test:shipments:{entry.event_id}", {"text": b'"x"'}),)
    written = await stream.get(key)
    assert written is not None
    assert read_entry(written.fields, NAME, key)[1] == (
        PayloadReference("memory", str(entry.event_id), str(entry.event_id)),
    )


async def test_a_known_event_id_answers_with_its_entry_whatever_the_payload(stream: HeldStream) -> None:
    """The first payload stays."""
    storage = MemoryStorage()
    send = _producer(stream, storage).note.using(event_id=new_event_id())
    key = await send("first")
    assert await send("second") == key
    assert (await Reader(stream, {"memory": storage}, SCOPE).get(key)).arguments == {"text": "first"}


class Keyed(Contract):
    """Events with a partition key."""

    @event(key="order")
    def by_number(self, order: int) -> None:
        """Its key is a number."""

    @event(key="name")
    def by_name(self, name: str) -> None:
        """Its key is a text."""


async def test_the_partition_key_is_in_the_metadata(stream: HeldStream) -> None:
    """A text as it is, anything else as its JSON."""
    storage = MemoryStorage()
    producer = bind(Keyed, Producer(Batcher(stream), storage, SCOPE))
    reader = Reader(stream, {"memory": storage}, SCOPE)
    assert (await reader.get(await producer.by_number(7))).metadata.partition_key == "7"
    assert (await reader.get(await producer.by_name("Jo"))).metadata.partition_key == "Jo"


async def test_the_event_being_handled_is_the_cause(stream: HeldStream) -> None:
    """As ``context`` says of its event: it links what is produced from then on."""
    storage = MemoryStorage()
    producer = _producer(stream, storage)
    cause = context(correlation_id="order-1")
    key = await producer.note("x")
    metadata = (await Reader(stream, {"memory": storage}, SCOPE).get(key)).metadata
    assert (metadata.correlation_id, metadata.causation_id) == ("order-1", str(cause.metadata.event_id))


async def test_metadata_is_the_same_with_and_without_interceptors(stream: HeldStream) -> None:
    """Interceptors get it as ``NewMetadata``; what is written afterwards is the same, the trace included."""

    async def pass_on(outgoing: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        return await call_next(outgoing)

    spans, documents, traces = CollectedSpans(), list[object](), list[object]()
    for interceptors in ((), (pass_on,)):
        producer = bind(Keyed, Producer(Batcher(stream), MemoryStorage(), SCOPE, interceptors=interceptors))
        plain, related = producer.by_name, producer.by_name.using(correlation_id='\u00e9"', causation_id="c\\d")
        for key in (await plain("Jo"), await related('\u00e9 "quoted"')):
            entry = await stream.get(key)
            assert entry is not None
            document = json.loads(entry.fields[b"metadata"])
            assert abs(document.pop("at") / 1e6 - time.time()) < 60
            assert UUID(document.pop("id")).version == 7
            traces.append(document.pop("headers"))
            documents.append(document)
    assert traces == [
        {"traceparent": f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"}
        for span in spans.named("produce by_name")
        if (at := span.get_span_context()) is not None
    ]
    assert documents[:2] == documents[2:]
    assert documents[1] == {
        "event": "by_name",
        "version": 1,
        "size": 15,
        "payload": ["memory"],
        "correlation": '\u00e9"',
        "causation": "c\\d",
        "key": '\u00e9 "quoted"',
    }


async def test_arguments_are_checked_before_the_first_await(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A wrong call fails in its first step, before any other task has a turn; nothing was sent."""
    call = producer.packing("jo@example.com", "no number", datetime.now(UTC))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentsInvalid, match="product_id"):
        call.send(None)
    assert not stream.batches


async def test_the_callers_event_ids_are_uuid7(producer: ShipmentTracking) -> None:
    """Only the time of a UUIDv7 shows whether a duplicate can be recognised."""
    with pytest.raises(ArgumentsInvalid, match="UUIDv7"):
        await producer.note.using(event_id=uuid4())("x")
