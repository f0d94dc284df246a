"""Promise 4: one consumer at a time holds the lease of an event."""

import asyncio
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.stream.base import Streams
from tests.support.crashes import STREAM, steal
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, stopped_within

SHORT = timedelta(milliseconds=200)
LEASE = timedelta(seconds=2)


async def test_promise_4_a_handler_may_take_longer_than_the_lease(backbone: Backbone, streams: Streams) -> None:
    """Looks keep it, without counting; another member of the group does not get the event."""
    stuck, other = Stuck(), Remembering()
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=SHORT)):
        await stuck.running.wait()
        async with stopped_within(backbone.subscribe(other.consumer, uri=URI, group=GROUP, lease=SHORT)):
            deadline = asyncio.get_running_loop().time() + 5 * SHORT.total_seconds()
            while asyncio.get_running_loop().time() < deadline:
                (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
                assert pending.attempt == 1
                await asyncio.sleep(0.02)
        stuck.release.set()
    assert (stuck.attempts, other.numbers) == ([1], [])


async def test_promise_4_who_lost_the_lease_is_cancelled_and_cannot_ack(backbone: Backbone, streams: Streams) -> None:
    """The new holder has the event; the old one's handler ends, and the next event can begin."""
    stuck = Stuck()
    await pack(backbone, 1)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=LEASE, concurrency=1)
    async with stopped_within(subscription):
        await stuck.running.wait()
        (stolen,) = await steal(streams)
        await stuck.cancelled.wait()
        stuck.release.set()
        await pack(backbone, 2)
        await eventually(lambda: stuck.numbers == [1, 2])
        await eventually(lambda: subscription.handled == 1)
        (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
    assert (pending.key, pending.consumer, pending.attempt) == (stolen.entry.key, "thief", 2)


async def test_promise_4_a_lost_lease_shows_at_the_ack_when_no_look_came_before(
    backbone: Backbone, streams: Streams
) -> None:
    """The server refuses the ack; the event stays with its new holder."""
    stuck = Stuck()
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=LEASE)) as subscription:
        await stuck.running.wait()
        await steal(streams)
        stuck.release.set()
        await eventually(lambda: subscription.in_flight == 0)
        (state,) = await backbone.groups(URI)
        assert (state.pending, subscription.handled) == (1, 0)


async def test_promise_4_a_queued_event_that_was_taken_over_is_not_handled_here(
    backbone: Backbone, streams: Streams
) -> None:
    """It was lost before its turn came."""
    stuck = Stuck()
    await pack(backbone, 1, 2)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=1, lease=LEASE)
    async with stopped_within(subscription):
        await stuck.running.wait()
        await eventually(lambda: subscription.in_flight == 2)
        await steal(streams)
        await eventually(lambda: subscription.in_flight == 0)
        stuck.release.set()
        subscription.stop()
        await subscription.wait()
    assert stuck.numbers == [1]


async def test_promise_4_with_concurrency_1_the_next_event_begins_after_the_ack(
    backbone: Backbone, streams: Streams
) -> None:
    """So a crash makes one event come twice at most."""
    consumer, pending = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        entries = await streams.group_admin(STREAM, GROUP).pending(None, 100)
        pending.append(len([entry for entry in entries if entry.key < ctx.metadata.key]))

    await pack(backbone, *range(20))
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1, max_events=20)
    async with stopped_within(subscription):
        await subscription.wait()
    assert pending == [0] * 20


async def test_promise_4_slow_events_are_shared_by_all_members(backbone: Backbone) -> None:
    """Nobody takes more than about a second's work ahead, so a member that comes later gets its part."""
    first, second = Stuck(), Stuck()
    await pack(backbone, *range(200))
    async with stopped_within(backbone.subscribe(first.consumer, uri=URI, group=GROUP)) as one:
        await eventually(lambda: len(first.numbers) == 10)
        assert one.in_flight <= 20
        async with stopped_within(backbone.subscribe(second.consumer, uri=URI, group=GROUP)) as two:
            await eventually(lambda: len(second.numbers) == 10)
            assert two.in_flight <= 20
            first.release.set()
            second.release.set()
            await eventually(lambda: one.handled + two.handled == 200)
