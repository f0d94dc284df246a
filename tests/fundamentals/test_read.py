"""Reading without a group: one event by key, ranges by key and by time, filters, and following."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone import (
    Backbone,
    ConfigurationError,
    EventKey,
    EventNotFound,
    PayloadErased,
    StoredEvent,
    UnknownEvent,
)
from tests.support.shipment import Billing, ShipmentTracking

URI = "shipments"


async def _produce(backbone: Backbone, count: int) -> list[EventKey]:
    producer = backbone.producer(ShipmentTracking, uri=URI)
    return list(await asyncio.gather(*(producer.note(str(number)) for number in range(count))))


async def test_an_unknown_key_is_not_found(backbone: Backbone) -> None:
    """One sentence that names stream and key."""
    with pytest.raises(EventNotFound, match=r"test:shipments has no event 1-0"):
        await backbone.reader(URI).get(EventKey(1))


async def test_a_scan_yields_every_event_in_order(backbone: Backbone) -> None:
    """More than one page, each event once, with its payload."""
    keys = await _produce(backbone, 250)
    found = [event async for event in backbone.reader(URI).scan()]
    assert [event.key for event in found] == keys
    assert [event.arguments["text"] for event in found] == [str(number) for number in range(250)]


async def test_a_scan_of_whole_pages_ends(backbone: Backbone) -> None:
    """Also for a stream of exactly one page, or of none."""
    assert [event async for event in backbone.reader(URI).scan()] == []
    keys = await _produce(backbone, 100)
    assert [event.key async for event in backbone.reader(URI).scan()] == keys


async def test_start_is_inclusive_and_end_is_exclusive(backbone: Backbone) -> None:
    """By key."""
    keys = await _produce(backbone, 10)
    assert [event.key async for event in backbone.reader(URI).scan(keys[3], keys[7])] == keys[3:7]
    assert [event.key async for event in backbone.reader(URI).scan(start=keys[8])] == keys[8:]
    assert [event.key async for event in backbone.reader(URI).scan(end=keys[2])] == keys[:2]
    assert [event.key async for event in backbone.reader(URI).scan(keys[5], keys[5])] == []


async def test_times_mean_the_servers_append_time(backbone: Backbone) -> None:
    """By time: start includes the key's own millisecond, end excludes it."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    first = await producer.note("first")
    second = first
    while second.milliseconds == first.milliseconds:
        second = await producer.note("second")
    at_second = datetime.fromtimestamp(second.milliseconds / 1000, UTC)
    assert second == (await _first(backbone, start=at_second)).key
    assert first == (await _first(backbone, end=at_second)).key
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [event async for event in backbone.reader(URI).scan(start=later)] == []


async def _first(backbone: Backbone, start: datetime | None = None, end: datetime | None = None) -> StoredEvent:
    found = [event async for event in backbone.reader(URI).scan(start, end)]
    return found[0]


async def test_a_time_without_zone_is_refused(backbone: Backbone) -> None:
    """One sentence says what to write."""
    with pytest.raises(ConfigurationError, match="time zone"):
        await anext(backbone.reader(URI).scan(start=datetime.fromisoformat("2026-01-01")))


async def test_follow_has_no_end(backbone: Backbone) -> None:
    """``follow`` and an end together make no sense, and are refused."""
    with pytest.raises(ConfigurationError, match="follow"):
        await anext(backbone.reader(URI).scan(end=EventKey(1), follow=True))


async def test_following_yields_what_was_there_and_what_comes(backbone: Backbone) -> None:
    """Nothing is lost between the two, and nothing comes twice."""
    keys = await _produce(backbone, 130)
    found: list[EventKey] = []

    async def follow() -> None:
        async with aclosing(backbone.reader(URI).scan(follow=True)) as events:
            async for event in events:
                found.append(event.key)
                if len(found) == 330:
                    return

    following = asyncio.create_task(follow())
    for _ in range(20):
        keys += await _produce(backbone, 10)
    async with asyncio.timeout(10):
        await following
    assert found == keys


async def test_following_from_now_leaves_out_what_was_there(backbone: Backbone) -> None:
    """``start="now"`` is after the newest event, also when there is none."""
    await _produce(backbone, 3)
    async with asyncio.timeout(10), aclosing(backbone.reader(URI).scan("now", follow=True)) as events:
        coming = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)  # so that it has found where now is
        (key,) = await _produce(backbone, 1)
        assert (await coming).key == key


async def test_following_from_a_key_includes_it(backbone: Backbone) -> None:
    """The bound means the same with and without following."""
    keys = await _produce(backbone, 3)
    async with aclosing(backbone.reader(URI).scan(keys[1], follow=True)) as events:
        assert [(await anext(events)).key, (await anext(events)).key] == keys[1:]


async def test_following_ends_when_it_is_cancelled(backbone: Backbone) -> None:
    """A waiting iterator does not keep a program from ending."""

    async def follow() -> None:
        async for _ in backbone.reader(URI).scan(follow=True):
            pass

    task = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    task.cancel()
    async with asyncio.timeout(2):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_only_wanted_events(backbone: Backbone) -> None:
    """A filter by event of a contract."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    await producer.note("a")
    wanted = await producer.packing("jo@example.com", 7, datetime.now(UTC))
    await producer.note("b")
    found = [event.key async for event in backbone.reader(URI).scan(events=[ShipmentTracking.packing])]
    assert found == [wanted]


async def test_the_last_events_are_those_that_are_wanted(backbone: Backbone) -> None:
    """The newest in order, before an end if there is one, all of them if there are fewer; then following goes on."""
    producer, reader = backbone.producer(ShipmentTracking, uri=URI), backbone.reader(URI)
    assert [event async for event in reader.scan(last=3)] == []
    packed = [await producer.packing("jo@example.com", number, datetime.now(UTC)) for number in range(4)]
    notes = await _produce(backbone, 120)
    assert [event.key async for event in reader.scan(last=110)] == notes[10:]
    assert [event.key async for event in reader.scan(last=1000)] == packed + notes
    assert [event.key async for event in reader.scan(end=notes[1], last=3)] == [*packed[2:], notes[0]]
    wanted = [ShipmentTracking.packing]
    assert [event.key async for event in reader.scan(last=2, events=wanted)] == packed[2:]
    async with asyncio.timeout(10), aclosing(reader.scan(last=1, events=wanted, follow=True)) as events:
        assert (await anext(events)).key == packed[3]
        coming = asyncio.ensure_future(anext(events))
        (_, key) = (await producer.note("no"), await producer.packing("jo@example.com", 4, datetime.now(UTC)))
        assert (await coming).key == key


@pytest.mark.parametrize(("start", "last"), [("now", 3), (EventKey(1), 3), (None, 0)])
async def test_a_scan_begins_at_one_place(backbone: Backbone, start: EventKey | None, last: int) -> None:
    """A start, or the last so many events."""
    with pytest.raises(ConfigurationError, match="either a start or last"):
        await anext(backbone.reader(URI).scan(start, last=last))


async def test_a_stored_event_is_asked_what_it_is(backbone: Backbone) -> None:
    """``is_`` compares, ``as_`` types, ``call`` passes the arguments on, ``decode`` finds the event of a contract."""
    time = datetime.now(UTC)
    key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, time)
    stored = await backbone.reader(URI).get(key)
    assert stored.is_(ShipmentTracking.packing)
    assert not stored.is_(ShipmentTracking.note)
    assert not stored.is_(Billing.invoiced)

    def label(email: str, product_id: int, time: datetime) -> str:
        return f"{product_id} to {email} at {time.isoformat()}"

    assert stored.as_(ShipmentTracking.packing).call(label) == f"7 to jo@example.com at {time.isoformat()}"
    decoded = stored.decode(ShipmentTracking)
    assert (decoded.name, decoded.definition.attribute) == ("packing", "packing")
    assert decoded.arguments == {"email": "jo@example.com", "product_id": 7, "time": time}
    with pytest.raises(UnknownEvent, match=r"'packing' version 1, not 'note'"):
        stored.as_(ShipmentTracking.note)
    with pytest.raises(UnknownEvent):
        stored.decode(Billing)


async def test_an_erased_payload_is_an_outcome_not_an_error(backbone: Backbone) -> None:
    """The event is read with its metadata; only asking for what was erased raises."""
    keys = await _produce(backbone, 3)
    await backbone.erase(URI, keys[1])
    await backbone.erase(URI, keys[1])
    found = [event async for event in backbone.reader(URI).scan()]
    assert [event.payload for event in found] == ["present", "erased", "present"]
    assert found[1].metadata.event == "note"
    assert "arguments" not in found[1].json()
    with pytest.raises(PayloadErased):
        found[1].as_(ShipmentTracking.note)
    assert found[1].is_(ShipmentTracking.note)


async def test_erasing_what_is_not_there_says_so(backbone: Backbone) -> None:
    """Erasing is for events that exist."""
    with pytest.raises(EventNotFound):
        await backbone.erase(URI, EventKey(1))


async def test_a_stored_event_as_one_json_document(backbone: Backbone) -> None:
    """Key, metadata, the state of the payload, and the arguments unless they are not wanted."""
    key = await backbone.producer(ShipmentTracking, uri=URI).note("hello")
    stored = await backbone.reader(URI).get(key)
    document = stored.json()
    assert (document["key"], document["payload"], document["arguments"]) == (str(key), "present", {"text": "hello"})
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["event_id"] == str(stored.metadata.event_id)
    assert "arguments" not in stored.json(with_arguments=False)
    assert "hello" not in repr(stored)
