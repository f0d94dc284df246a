"""The reader when things go wrong: outages while following, foreign entries, missing storages, older versions."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from event_backbone.contract import Contract, bind, event
from event_backbone.errors import BackboneError, EntryUnreadable, StorageMissing, StorageUnavailable, StreamUnavailable
from event_backbone.model import EventKey, StreamName, new_event_id
from event_backbone.producer import Batcher, Producer
from event_backbone.reader import Reader
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.values import NewEntry
from tests.support.eventually import eventually
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream

NAME = StreamName.of("shipments", "test")
SCOPE = StorageScope(NAME)


class _Parts:
    """A producer and a reader of one stream in memory, which can be made to fail."""

    def __init__(self) -> None:
        self.stream = HeldStream(MemoryStreams().stream(NAME))
        self.storage = MemoryStorage()
        self.reader = Reader(self.stream, {"memory": self.storage}, SCOPE)
        self.producer = bind(ShipmentTracking, Producer(Batcher(self.stream), self.storage, SCOPE))


@pytest.fixture
def parts() -> _Parts:
    """A fresh stream."""
    return _Parts()


async def test_following_waits_out_an_outage_without_a_gap(parts: _Parts) -> None:
    """The reader keeps its own position in the stream, so nothing that came meanwhile is lost or comes twice."""
    first = await parts.producer.note("before")
    async with asyncio.timeout(10), aclosing(parts.reader.scan(follow=True)) as events:
        assert (await anext(events)).key == first
        parts.stream.faults.extend(StreamUnavailable("away") for _ in range(2))
        coming = asyncio.ensure_future(anext(events))
        await eventually(lambda: not parts.stream.faults)
        second = await parts.producer.note("after")
        assert (await coming).key == second


@pytest.mark.parametrize("fault", [StreamUnavailable("away"), StorageUnavailable("away")])
async def test_following_waits_out_an_outage_while_it_catches_up(parts: _Parts, fault: BackboneError) -> None:
    """A stream of more than a page is read from its beginning, and the server fails in the middle of it."""
    keys = await asyncio.gather(*(parts.producer.note(str(number)) for number in range(250)))
    reader = Reader(_AwayAfter(parts.stream, 1, [fault, fault]), {"memory": parts.storage}, SCOPE)
    async with asyncio.timeout(10), aclosing(reader.scan(follow=True)) as events:
        assert [(await anext(events)).key for _ in keys] == keys


async def test_the_first_read_of_a_scan_that_follows_raises(parts: _Parts) -> None:
    """A caller that starts to follow must learn that no server is there; one that reads a range, on every page."""
    keys = await asyncio.gather(*(parts.producer.note(str(number)) for number in range(250)))
    away = StreamUnavailable("away")
    for pages, follow in ((0, True), (1, False)):
        reader = Reader(_AwayAfter(parts.stream, pages, [away]), {"memory": parts.storage}, SCOPE)
        events = reader.scan(follow=follow)
        assert [(await anext(events)).key for _ in range(pages * 100)] == keys[: pages * 100]
        with pytest.raises(StreamUnavailable):
            await anext(events)


async def test_a_plain_scan_raises_when_the_stream_is_away() -> None:
    """Only following waits; a read of a range raises."""
    parts = _Parts()
    reader = Reader(_Away(MemoryStreams().stream(NAME)), {"memory": parts.storage}, SCOPE)
    with pytest.raises(StreamUnavailable):
        await anext(reader.scan())


async def test_entries_of_others_are_left_out_of_a_scan(parts: _Parts, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else wrote to the stream: a scan goes on with a warning, and asking for the entry says what it is."""
    key = await parts.producer.note("ours")
    (foreign,) = await parts.stream.append([NewEntry(new_event_id(), b"not ours")])
    assert isinstance(foreign, EventKey)
    later = await parts.producer.note("ours, too")
    assert [found.key async for found in parts.reader.scan()] == [key, later]
    assert str(foreign) in caplog.text
    with pytest.raises(EntryUnreadable):
        await parts.reader.get(foreign)


async def test_a_payload_in_a_storage_that_was_not_given_is_not_lost(parts: _Parts) -> None:
    """It is not called gone: the error names the storage that should be configured."""
    key = await parts.producer.note("x")
    reader = Reader(parts.stream, {}, SCOPE)
    with pytest.raises(StorageMissing, match="'memory'"):
        await reader.get(key)


async def test_another_partition_is_not_this_stream(parts: _Parts) -> None:
    """A key of partition 3 is not looked for in partition 0."""
    key = await parts.producer.note("x")
    with pytest.raises(Exception, match="has no event"):
        await parts.reader.get(EventKey(key.milliseconds, key.sequence, 3))


async def test_an_older_version_is_read_through_its_upcaster(parts: _Parts) -> None:
    """``is_`` knows what an upcaster leads to, ``as_`` uses it, and an event without an upcaster is another one."""

    class First(Contract):
        @event
        def packing(self, email: str) -> None: ...

    class Second(Contract):
        @event(version=2)
        def packing(self, email: str, parcels: int) -> None: ...

    class Third(Contract):
        @event(version=2, name="packing")
        def packing_two(self, email: str, parcels: int) -> None: ...

        @event(version=3)
        def packing(self, email: str, parcels: int, time: datetime) -> None: ...

    @Second.packing.upcast(from_version=1)
    def one_parcel(arguments: dict[str, Any]) -> dict[str, Any]:
        return {**arguments, "parcels": 1}

    Third.packing_two.upcast(from_version=1)(one_parcel)
    sender = Producer(Batcher(parts.stream), parts.storage, SCOPE)
    key = await bind(First, sender).packing("jo@example.com")
    found = await parts.reader.get(key)
    assert found.is_(Second.packing)
    assert found.as_(Second.packing).arguments == {"email": "jo@example.com", "parcels": 1}
    assert found.is_(Third.packing_two)
    assert not found.is_(Third.packing)
    newest = await parts.reader.get(await bind(Third, sender).packing("jo@example.com", 2, datetime.now(UTC)))
    assert not newest.is_(Second.packing)


class _Away(HeldStream):
    """A stream whose server does not answer."""

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Any:
        """Raise."""
        raise StreamUnavailable("away")


class _AwayAfter(HeldStream):
    """A stream that reads some pages, and then fails a number of times."""

    def __init__(self, stream: HeldStream, pages: int, range_faults: Sequence[BackboneError]) -> None:
        super().__init__(stream)
        self._pages = pages
        self._range_faults = deque(range_faults)

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Any:
        """Read, or fail."""
        self._pages -= 1
        if self._pages < 0 and self._range_faults:
            raise self._range_faults.popleft()
        return await super().range(start, end, count)
