"""Many produce calls, few round trips: batches, their order, and calls that are cancelled."""

import asyncio
from contextvars import ContextVar

from event_backbone.producer import Batcher
from tests.support.producing import count_entries, later, new_entry, start, turns
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream


async def test_a_lone_event_is_sent_at_once(stream: HeldStream, producer: ShipmentTracking) -> None:
    """No timer waits for more events: the stream has this one within a few turns of the loop."""
    task = asyncio.create_task(producer.note("alone"))
    await turns()
    assert task.done()
    assert [len(batch) for batch in stream.batches] == [1]


async def test_concurrent_calls_share_round_trips(stream: HeldStream, producer: ShipmentTracking) -> None:
    """What comes while a batch is in flight makes the next one; each call gets its own key."""
    stream.open.clear()
    tasks = start(producer, [str(number) for number in range(200)])
    await turns()
    stream.open.set()
    keys = await asyncio.gather(*tasks)
    assert len(set(keys)) == 200
    assert len(stream.batches) < 10


async def test_calls_keep_their_order(producer: ShipmentTracking) -> None:
    """Events are in the stream in the order of their calls, also over many batches."""
    keys = await asyncio.gather(*start(producer, [str(number) for number in range(1000)]))
    assert keys == sorted(keys)


async def test_one_batch_is_in_flight_at_a_time(stream: HeldStream, producer: ShipmentTracking) -> None:
    """While a batch has no answer, no other is sent, so none can overtake it."""
    stream.open.clear()
    tasks = start(producer, ["first"])
    await stream.entered.wait()
    tasks += start(producer, ["second", "third"])
    await turns()
    assert len(stream.batches) == 1
    stream.open.set()
    assert len(await asyncio.gather(*tasks)) == 3


async def test_a_batch_has_at_most_256_events(stream: HeldStream, producer: ShipmentTracking) -> None:
    """However many events wait, a batch stays small enough for one script call."""
    stream.open.clear()
    tasks = start(producer, ["x"] * 1500)
    await turns()
    stream.open.set()
    await asyncio.gather(*tasks)
    assert max(len(batch) for batch in stream.batches) == 256


async def test_a_batch_has_at_most_one_mebibyte(stream: HeldStream) -> None:
    """Large events are sent in small batches; one larger than the limit is sent alone."""
    batcher = Batcher(stream)
    sizes = [400_000, 400_000, 400_000, 2_000_000, 100]
    stream.open.clear()
    first = batcher.append(new_entry(), later(), 1)
    await stream.entered.wait()
    keys = [batcher.append(new_entry(), later(), size) for size in sizes]
    stream.open.set()
    await asyncio.gather(first, *keys)
    assert [len(batch) for batch in stream.batches] == [1, 2, 1, 1, 1]


async def test_cancelled_while_queued_is_not_sent(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A call that is cancelled before its batch is sent leaves no entry."""
    stream.open.clear()
    under_way, queued = start(producer, ["under way"])[0], asyncio.create_task(producer.note("queued"))
    await stream.entered.wait()
    late = asyncio.create_task(producer.note("late"))
    await turns()
    late.cancel()
    await turns()
    stream.open.set()
    await asyncio.gather(under_way, queued)
    await turns()
    assert late.cancelled()
    assert await count_entries(stream) == 2


async def test_cancelled_in_flight_goes_on(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A call that is cancelled while its batch is in flight does not cancel the batch."""
    stream.open.clear()
    cancelled, other = start(producer, ["cancelled", "other"])
    await stream.entered.wait()
    cancelled.cancel()
    await turns()
    stream.open.set()
    await other
    assert cancelled.cancelled()
    assert await count_entries(stream) == 2


async def test_the_callers_context_does_not_reach_the_batch(stream: HeldStream, producer: ShipmentTracking) -> None:
    """The batch runs in an empty context: no caller's variables or spans leak into the batches of others."""
    marker: ContextVar[str] = ContextVar("marker", default="empty")
    seen: list[str] = []
    stream.on_append = lambda: seen.append(marker.get())
    marker.set("the caller's")
    await producer.note("x")
    assert seen == ["empty"]


async def test_callers_that_have_their_answers_share_the_next_batch(
    stream: HeldStream, producer: ShipmentTracking
) -> None:
    """Calls that await one after the other go on together: whoever calls again within a turn is in the next batch."""

    async def call_three_times() -> None:
        for _ in range(3):
            await producer.note("x")

    await asyncio.gather(*(call_three_times() for _ in range(10)))
    assert [len(batch) for batch in stream.batches] == [10, 10, 10]


async def test_a_caller_that_awaits_its_calls_costs_one_task(stream: HeldStream, producer: ShipmentTracking) -> None:
    """For all of its calls: the task waits a turn for the next one."""
    tasks = set[asyncio.Task[object] | None]()
    stream.on_append = lambda: tasks.add(asyncio.current_task())
    for _ in range(3):
        await producer.note("x")
    assert len(tasks) == 1


async def test_cancelling_every_other_task_does_not_end_the_producer(producer: ShipmentTracking) -> None:
    """As a program does that goes down, and then produces its last event: nothing was under way."""
    await producer.note("x")
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await producer.note("last")


async def test_nothing_is_left_running_after_the_last_answer(producer: ShipmentTracking) -> None:
    """A batcher that nobody closes keeps no task, so that its loop can close."""
    await producer.note("x")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
