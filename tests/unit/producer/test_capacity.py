"""How much may wait to be sent, and what becomes of it on closing."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.errors import BackboneClosed, NotSent, OutcomeUnknown
from event_backbone.model import EventKey
from event_backbone.producer import Batcher
from tests.support.producing import (
    SOON,
    count_entries,
    later,
    new_entry,
    producer_of,
    start,
    turns,
)
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream


async def test_a_full_queue_makes_calls_wait_in_turn(stream: HeldStream) -> None:
    """Calls that come when the queue is full wait, and are admitted first come, first served."""
    producer = producer_of(Batcher(stream, queue_events=2))
    stream.open.clear()
    tasks = start(producer, [str(number) for number in range(6)])
    await turns()
    assert len(stream.batches) == 1
    tasks[3].cancel()
    await turns()
    stream.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    keys = [result for result in results if isinstance(result, EventKey)]
    assert keys == sorted(keys)
    assert len(keys) == 5 == await count_entries(stream)


async def test_the_queue_is_bounded_by_bytes(stream: HeldStream) -> None:
    """A few large payloads fill the queue as well; one larger than the whole queue is admitted alone."""
    producer = producer_of(Batcher(stream, queue_bytes=100))
    stream.open.clear()
    tasks = start(producer, ["x" * 1000, "y", "z"])
    await turns()
    assert sum(map(len, stream.batches)) == 1
    stream.open.set()
    await asyncio.gather(*tasks)
    assert await count_entries(stream) == 3


async def test_no_capacity_in_time_is_not_sent(stream: HeldStream) -> None:
    """Waiting for capacity counts against the deadline."""
    batcher = Batcher(stream, queue_events=1)
    stream.open.clear()
    under_way = asyncio.create_task(producer_of(batcher).note("under way"))
    await stream.entered.wait()
    with pytest.raises(NotSent, match="no capacity became free in time"):
        await producer_of(batcher, SOON).note("no capacity")
    stream.open.set()
    await under_way


async def test_closing_sends_what_is_queued(stream: HeldStream, batcher: Batcher, producer: ShipmentTracking) -> None:
    """Within the drain time everything that was accepted is sent; new calls are refused at once."""
    stream.open.clear()
    tasks = start(producer, [str(number) for number in range(50)])
    await stream.entered.wait()
    closing = asyncio.create_task(batcher.close(timedelta(seconds=5)))
    await turns()
    with pytest.raises(BackboneClosed):
        await producer.note("too late")
    stream.open.set()
    await closing
    assert len(await asyncio.gather(*tasks)) == 50
    assert await count_entries(stream) == 50


async def test_closing_ends_after_the_drain_time(
    stream: HeldStream, batcher: Batcher, producer: ShipmentTracking
) -> None:
    """What is in flight by then is in doubt, the rest was not sent; nobody hangs."""
    stream.open.clear()
    tasks = start(producer, ["under way"])
    await stream.entered.wait()
    tasks += start(producer, ["queued"])
    await turns()
    await batcher.close(timedelta(0))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, NotSent]


async def test_closing_refuses_calls_that_wait_for_capacity(stream: HeldStream) -> None:
    """A call that was not admitted yet ends with the closing."""
    batcher = Batcher(stream, queue_events=1)
    producer = producer_of(batcher)
    stream.open.clear()
    tasks = start(producer, ["under way", "waits for capacity"])
    await stream.entered.wait()
    closing = asyncio.create_task(batcher.close(timedelta(seconds=5)))
    await turns()
    stream.open.set()
    await closing
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [EventKey, BackboneClosed]


async def test_closing_waits_for_a_cancelled_callers_batch(
    stream: HeldStream, batcher: Batcher, producer: ShipmentTracking
) -> None:
    """What was cancelled in flight goes on, also while closing."""
    stream.open.clear()
    task = asyncio.create_task(producer.note("cancelled in flight"))
    await stream.entered.wait()
    task.cancel()
    await turns()
    closing = asyncio.create_task(batcher.close(timedelta(seconds=5)))
    await turns()
    stream.open.set()
    await closing
    assert await count_entries(stream) == 1


async def test_the_end_of_the_loop_leaves_nobody_hanging(batcher: Batcher, producer: ShipmentTracking) -> None:
    """A batcher that is cancelled before it began fails its callers, and refuses what comes after."""
    future = batcher.append(new_entry(), later(), 1)
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "event-backbone-batcher"]
    task.cancel()
    with pytest.raises(NotSent):
        await future
    with pytest.raises(BackboneClosed):
        await producer.note("x")
