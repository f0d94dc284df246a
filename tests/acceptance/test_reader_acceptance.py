"""Reading, by the numbers of the acceptance list."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest
from pydantic_core import from_json, to_json

from event_backbone import Backbone, EventKey, Outgoing
from event_backbone.model import NewMetadata
from tests.acceptance.deployment import Deployment
from tests.support.shipment import ShipmentTracking

URI = "shipments"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def _three_events(backbone: Backbone) -> list[EventKey]:
    producer = backbone.producer(ShipmentTracking, uri=URI)
    return [await producer.note("a"), await producer.packing("jo@example.com", 7, NOW), await producer.note("b")]


async def test_item_16_metadata_and_payload_survive_being_written(deployment: Deployment) -> None:
    """What is written is read back equal: every member of the metadata, and each argument as the text it was."""
    written: list[NewMetadata] = []

    async def remember(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        written.append(event.metadata)
        return await call_next(event)

    async def mark(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        return await call_next(event.with_headers(shop="blü"))

    text = 'a \\" quote, ü, \u2028 and {"a": [1, {"b": null}]}'
    async with deployment.backbone(produce_interceptors=[mark, remember]) as backbone:
        send = backbone.producer(ShipmentTracking, uri=URI).note.using(correlation_id="c", causation_id="b")
        key = await send(text)
        stored = await backbone.reader(URI).get(key)
    assert stored.arguments == {"text": text}
    assert stored.key == key
    (metadata,) = written
    assert (metadata.headers["shop"], metadata.correlation_id, metadata.causation_id) == ("blü", "c", "b")
    for each in fields(metadata):
        assert getattr(stored.metadata, each.name) == getattr(metadata, each.name), each.name


async def test_item_25_one_event_by_its_key(backbone: Backbone) -> None:
    """With its metadata and arguments, also as one JSON document; the key may have travelled as text."""
    _, key, _ = await _three_events(backbone)
    stored = await backbone.reader(URI).get(EventKey.parse(str(key)))
    assert stored.as_(ShipmentTracking.packing).arguments == {"email": "jo@example.com", "product_id": 7, "time": NOW}
    document = from_json(to_json(stored.json()))
    assert document["key"] == str(key)
    assert document["metadata"]["event"] == "packing"
    assert document["arguments"]["product_id"] == 7


async def test_item_26_full_enumeration(backbone: Backbone) -> None:
    """Every event once, in order."""
    keys = await _three_events(backbone)
    assert [each.key async for each in backbone.reader(URI).scan()] == keys


async def test_item_26_cancellation_stops_an_iteration(backbone: Backbone) -> None:
    """A following iterator ends when its task is cancelled, and when it is closed."""
    keys = await _three_events(backbone)
    found: list[EventKey] = []
    seen_all = asyncio.Event()

    async def follow() -> None:
        async for each in backbone.reader(URI).scan(follow=True):
            found.append(each.key)
            if len(found) == 3:
                seen_all.set()

    task = asyncio.create_task(follow())
    async with asyncio.timeout(5):
        await seen_all.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert found == keys
    async with asyncio.timeout(5), aclosing(backbone.reader(URI).scan(follow=True)) as events:
        assert (await anext(events)).key == keys[0]


async def test_item_26_as_json_with_and_without_metadata(backbone: Backbone) -> None:
    """The document has both; the arguments alone are a dict of JSON values."""
    await _three_events(backbone)
    events = [each async for each in backbone.reader(URI).scan()]
    documents = [each.json() for each in events]
    assert [each["payload"] for each in documents] == ["present"] * 3
    assert [each["metadata"]["event"] for each in from_json(to_json(documents))] == ["note", "packing", "note"]
    assert [each.arguments for each in events if each.is_(ShipmentTracking.note)] == [{"text": "a"}, {"text": "b"}]


async def test_item_26_only_some_events(backbone: Backbone) -> None:
    """A filter by event."""
    keys = await _three_events(backbone)
    found = [each.key async for each in backbone.reader(URI).scan(events=[ShipmentTracking.note])]
    assert found == [keys[0], keys[2]]


async def test_item_26_mapped_to_types(backbone: Backbone) -> None:
    """Each event calls a function with the event's signature."""

    def note(text: str) -> str:
        return f"note {text}"

    def packing(email: str, product_id: int, time: datetime) -> str:
        return f"{product_id} to {email} in {time.year}"

    await _three_events(backbone)
    texts: list[str] = []
    async for each in backbone.reader(URI).scan():
        if each.is_(ShipmentTracking.note):
            texts.append(each.as_(ShipmentTracking.note).call(note))
        elif each.is_(ShipmentTracking.packing):
            texts.append(each.as_(ShipmentTracking.packing).call(packing))
    assert texts == ["note a", "7 to jo@example.com in 2026", "note b"]


async def test_item_27_until_a_date_or_until_there_is_no_more(backbone: Backbone) -> None:
    """A scan stops where the stream is empty, at the latest at the given date."""
    keys = await _three_events(backbone)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert [each.key async for each in backbone.reader(URI).scan(end=tomorrow)] == keys
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=keys[0].milliseconds)
    assert [each async for each in backbone.reader(URI).scan(end=first)] == []
