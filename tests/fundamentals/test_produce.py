"""The main path of a producer: a typed call becomes one entry, and its key comes back."""

import asyncio
from datetime import UTC, datetime

import pytest

from event_backbone import ArgumentsInvalid, Backbone, EventKey
from event_backbone.testing import memory_backbone
from tests.support.shipment import Billing, Product, ShipmentTracking, User

URI = "shipments"


async def _keys(backbone: Backbone, uri: str = URI) -> list[EventKey]:
    return [event.key async for event in backbone.reader(uri).scan()]


async def test_a_produced_event_is_in_its_stream_as_it_was_given(backbone: Backbone) -> None:
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
    """All producer objects of a stream share one batcher: their concurrent calls keep one order."""
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
