"""The main road of a producer: a typed call becomes one entry, and its key comes back."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import ArgumentsInvalid, EventIdExpired
from event_backbone.model import EventKey, new_event_id
from event_backbone.testing.memory import memory_backbone
from tests.support.shipment import Billing, Product, ShipmentTracking, User

URI = "shipments"


async def _keys(backbone: Backbone, uri: str = URI) -> list[EventKey]:
    return [event.key async for event in backbone.reader(uri).scan()]


async def test_a_produced_event_stands_in_its_stream_as_it_was_given(backbone: Backbone) -> None:
    """Models, numbers and times come back equal; the metadata says where and when."""
    user, product = User(name="Jo", email="jo@example.com"), Product(id=7, title="Kettle")
    before = datetime.now(UTC)
    key = await backbone.producer(ShipmentTracking, uri=URI).order_placed(user, product, before)
    stored = await backbone.reader(URI).get(key)
    assert stored.as_(ShipmentTracking.order_placed).arguments == {"user": user, "product": product, "time": before}
    metadata = stored.metadata
    assert (metadata.key, metadata.event, metadata.version) == (key, "order_placed", 1)
    assert (metadata.uri, metadata.environment) == (URI, "test")
    assert before <= metadata.produced_at <= datetime.now(UTC)
    assert metadata.event_id.version == 7


async def test_keys_grow_in_the_order_of_the_calls(backbone: Backbone) -> None:
    """Awaited one after the other, events keep their order."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    keys = [await producer.note(str(number)) for number in range(20)]
    assert keys == sorted(keys) == await _keys(backbone)


async def test_one_call_makes_one_entry_among_many_concurrent_ones(backbone: Backbone) -> None:
    """Promise 2, without faults: a thousand calls at once make a thousand entries, each with its own payload."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    keys = await asyncio.gather(*(producer.note(str(number)) for number in range(1000)))
    texts = {event.key: event.arguments["text"] async for event in backbone.reader(URI).scan()}
    assert texts == {key: str(number) for number, key in enumerate(keys)}


async def test_one_event_id_makes_one_entry(backbone: Backbone) -> None:
    """Promise 2: across calls and backbone objects an event id is one event; the first payload stays."""
    event_id = new_event_id()
    first = await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("same")
    again = await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("same")
    assert first == again
    assert await _keys(backbone) == [first]


async def test_twins_in_one_batch_make_one_entry(backbone: Backbone) -> None:
    """Also when both travel in the same round trip."""
    send = backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=new_event_id())
    keys = await asyncio.gather(*(send("same") for _ in range(5)))
    assert await _keys(backbone) == [keys[0]]
    assert len(set(keys)) == 1


async def test_an_event_id_older_than_the_window_is_refused(backbone: Backbone) -> None:
    """A twin could not be recognised any more, so the event is not sent, rather than perhaps sent twice."""
    old = datetime.now(UTC) - timedelta(hours=1)
    event_id = UUID(int=(new_event_id().int & ((1 << 80) - 1)) | (int(old.timestamp() * 1000) << 80))
    with pytest.raises(EventIdExpired):
        await backbone.producer(ShipmentTracking, uri=URI).note.using(event_id=event_id)("too old")
    assert await _keys(backbone) == []


async def test_wrong_arguments_leave_no_trace(backbone: Backbone) -> None:
    """The text names event and argument, never the value."""
    call = backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", "a secret", datetime.now(UTC))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentsInvalid, match="product_id") as caught:
        await call
    assert "a secret" not in str(caught.value)
    assert await _keys(backbone) == []


async def test_streams_and_contracts_do_not_disturb_each_other(backbone: Backbone) -> None:
    """Several URIs and contracts in one process, at the same time."""
    shipments = backbone.producer(ShipmentTracking, uri=URI)
    billing = backbone.producer(Billing, uri="billing")
    other = backbone.producer(ShipmentTracking, uri="other/shipments")
    await asyncio.gather(
        *(send for n in range(50) for send in (shipments.note("a"), billing.invoiced(n), other.note("b")))
    )
    for uri, event in ((URI, "note"), ("billing", "invoiced"), ("other/shipments", "note")):
        assert [each.metadata.event async for each in backbone.reader(uri).scan()] == [event] * 50


async def test_producers_of_one_stream_share_round_trips(backbone: Backbone) -> None:
    """Each producer object of a stream uses the same way out: their concurrent calls keep one order."""
    producers = [backbone.producer(ShipmentTracking, uri=URI) for _ in range(10)]
    keys = await asyncio.gather(*(producer.note("x") for producer in producers))
    assert keys == sorted(keys)


async def test_a_call_can_be_made_a_task(backbone: Backbone) -> None:
    """A produce call is a coroutine."""
    task = asyncio.create_task(backbone.producer(ShipmentTracking, uri=URI).note("x"))
    assert [await task] == await _keys(backbone)


async def test_leaving_the_backbone_sends_what_is_queued() -> None:
    """Calls that were begun before the end get their keys."""
    async with memory_backbone() as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        tasks = [asyncio.create_task(producer.note(str(number))) for number in range(100)]
        await asyncio.sleep(0)
    assert len({await task for task in tasks}) == 100
