"""Promise 2: one produce call makes one entry, and so does one event id across calls."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import EventIdExpired
from event_backbone.model import EventKey, new_event_id
from tests.support.shipment import ShipmentTracking

URI = "shipments"


async def _keys(backbone: Backbone, uri: str = URI) -> list[EventKey]:
    return [event.key async for event in backbone.reader(uri).scan()]


async def test_promise_2_one_call_makes_one_entry_among_many_concurrent_ones(backbone: Backbone) -> None:
    """Promise 2, without faults: a thousand calls at once make a thousand entries, each with its own payload."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    keys = await asyncio.gather(*(producer.note(str(number)) for number in range(1000)))
    texts = {event.key: event.arguments["text"] async for event in backbone.reader(URI).scan()}
    assert texts == {key: str(number) for number, key in enumerate(keys)}


async def test_promise_2_one_event_id_makes_one_entry(backbone: Backbone) -> None:
    """Promise 2: across calls and backbone objects an event id is one event; the first payload stays."""
    event_id = new_event_id()
    first = await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("same")
    again = await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("same")
    assert first == again
    assert await _keys(backbone) == [first]


async def test_promise_2_duplicates_in_one_batch_make_one_entry(backbone: Backbone) -> None:
    """Also when both travel in the same round trip."""
    send = backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=new_event_id())
    keys = await asyncio.gather(*(send("same") for _ in range(5)))
    assert await _keys(backbone) == [keys[0]]
    assert len(set(keys)) == 1


async def test_promise_2_an_event_id_older_than_the_window_is_refused(backbone: Backbone) -> None:
    """A duplicate could no longer be recognised, so the event is not sent, rather than perhaps sent twice."""
    old = datetime.now(UTC) - timedelta(hours=1)
    event_id = UUID(int=(new_event_id().int & ((1 << 80) - 1)) | (int(old.timestamp() * 1000) << 80))
    with pytest.raises(EventIdExpired):
        await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("too old")
    assert await _keys(backbone) == []
