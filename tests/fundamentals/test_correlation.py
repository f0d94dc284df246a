"""Correlation and causation: what is produced while an event is handled belongs to the same chain, and says so."""

import asyncio
from datetime import timedelta

from event_backbone import Backbone, Consumer, Context, Metadata
from tests.support.shipment import Billing, ShipmentTracking

URI = "shipments"


async def test_a_first_event_begins_its_own_chain(backbone: Backbone) -> None:
    """Its correlation id is its own event id, and nothing caused it."""
    key = await backbone.producer(ShipmentTracking, uri=URI).note("first")
    metadata = (await backbone.reader(URI).get(key)).metadata
    assert metadata.correlation_id == str(metadata.event_id)
    assert metadata.causation_id is None


async def test_what_a_handler_produces_was_caused_by_its_event(backbone: Backbone) -> None:
    """The chain goes on across streams and contracts, also from tasks that the handler starts."""
    consumer = Consumer(ShipmentTracking)
    handled: list[Metadata] = []

    @consumer.on(ShipmentTracking.note)
    async def handle(ctx: Context, text: str) -> None:
        handled.append(ctx.metadata)
        await asyncio.create_task(backbone.producer(Billing, uri="billing").invoiced(1))

    key = await backbone.producer(ShipmentTracking, uri=URI).note.using(correlation_id="order-1")("first")
    async with asyncio.timeout(10), backbone.subscribe(consumer, uri=URI, group="g", max_events=1) as subscription:
        await subscription.wait()
    (caused,) = [event.metadata async for event in backbone.reader("billing").scan()]
    assert handled[0].key == key
    assert caused.correlation_id == "order-1"
    assert caused.causation_id == str(handled[0].event_id)


async def test_the_callers_own_ids_win(backbone: Backbone) -> None:
    """``using`` sets them, for one call or for many."""
    send = backbone.producer(ShipmentTracking, uri=URI).note.using(correlation_id="mine", causation_id="yours")
    for key in (await send("a"), await send("b")):
        metadata = (await backbone.reader(URI).get(key)).metadata
        assert (metadata.correlation_id, metadata.causation_id) == ("mine", "yours")


async def test_after_the_handler_the_chain_has_ended(backbone: Backbone) -> None:
    """What the same program produces later is not said to be caused by an event that it once handled."""
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def handle(ctx: Context, text: str) -> None:
        pass

    producer = backbone.producer(ShipmentTracking, uri=URI)
    await producer.note("first")
    async with asyncio.timeout(10):
        async with backbone.subscribe(
            consumer, uri=URI, group="g", max_events=1, drain=timedelta(seconds=1)
        ) as subscription:
            await subscription.wait()
    key = await producer.note("second")
    assert (await backbone.reader(URI).get(key)).metadata.causation_id is None
