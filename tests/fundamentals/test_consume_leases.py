"""Promise 4: what a lease is worth."""

import asyncio
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.stream.base import Streams
from tests.support.crashes import STREAM, steal
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, stopped_within

SHORT = timedelta(milliseconds=200)
LEASE = timedelta(seconds=2)


async def test_promise_4_a_handler_may_take_longer_than_the_lease(backbone: Backbone, streams: Streams) -> None:
    """Looks keep it, without counting; another member of the group does not get the event."""
    consumer, attempts, release = Consumer(Parcels), list[int](), asyncio.Event()
    other = Remembering()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        await release.wait()

    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT)):
        await eventually(lambda: attempts == [1])
        async with stopped_within(backbone.subscribe(other.consumer, uri=URI, group=GROUP, lease=SHORT)):
            deadline = asyncio.get_running_loop().time() + 5 * SHORT.total_seconds()
            while asyncio.get_running_loop().time() < deadline:
                (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
                assert pending.attempt == 1
                await asyncio.sleep(0.02)
        release.set()
    assert (attempts, other.numbers) == ([1], [])


async def test_promise_4_who_lost_the_lease_is_cancelled_and_cannot_ack(backbone: Backbone, streams: Streams) -> None:
    """The new holder has the event; the old one's handler ends, and its place is free for the next."""
    consumer, running, cancelled = Consumer(Parcels), asyncio.Event(), asyncio.Event()
    handled: list[int] = []

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(number)
        if number == 1:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    await pack(backbone, 1)
    async with stopped_within(
        backbone.subscribe(consumer, uri=URI, group=GROUP, lease=LEASE, concurrency=1)
    ) as subscription:
        await running.wait()
        (stolen,) = await steal(streams)
        await cancelled.wait()
        await pack(backbone, 2)
        await eventually(lambda: handled == [1, 2])
        await eventually(lambda: subscription.handled == 1)
        (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
    assert (pending.key, pending.consumer, pending.attempt) == (stolen.entry.key, "thief", 2)


async def test_promise_4_a_lost_lease_shows_at_the_ack_when_no_look_came_before(
    backbone: Backbone, streams: Streams
) -> None:
    """The server refuses the ack; the event stays with its new holder."""
    consumer, running, release = Consumer(Parcels), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        running.set()
        await release.wait()

    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=LEASE)) as subscription:
        await running.wait()
        await steal(streams)
        release.set()
        await eventually(lambda: subscription.in_flight == 0)
        (state,) = await backbone.groups(URI)
        assert (state.pending, subscription.handled) == (1, 0)


async def test_promise_4_a_queued_event_that_was_taken_over_is_not_handled_here(
    backbone: Backbone, streams: Streams
) -> None:
    """It was lost before its turn came."""
    consumer, handled, running, release = Consumer(Parcels), list[int](), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(number)
        running.set()
        await release.wait()

    await pack(backbone, 1, 2)
    async with stopped_within(
        backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1, lease=LEASE)
    ) as subscription:
        await running.wait()
        await eventually(lambda: subscription.in_flight == 2)
        await steal(streams)
        await eventually(lambda: subscription.in_flight == 0)
        release.set()
        subscription.stop()
        await subscription.wait()
    assert handled == [1]


async def test_with_concurrency_1_the_next_event_begins_after_the_ack(backbone: Backbone, streams: Streams) -> None:
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


async def test_slow_events_are_shared_by_all_members(backbone: Backbone) -> None:
    """Nobody takes more ahead than about a second's work, so a member that comes later gets its part."""
    release = asyncio.Event()
    shares: list[set[int]] = [set(), set()]

    consumers = [Consumer(Parcels), Consumer(Parcels)]

    @consumers[0].on(Parcels.packed)
    async def first(ctx: Context, number: int) -> None:
        shares[0].add(number)
        await release.wait()

    @consumers[1].on(Parcels.packed)
    async def second(ctx: Context, number: int) -> None:
        shares[1].add(number)
        await release.wait()

    await pack(backbone, *range(200))
    async with stopped_within(backbone.subscribe(consumers[0], uri=URI, group=GROUP)) as one:
        await eventually(lambda: len(shares[0]) == 10)
        assert one.in_flight <= 20
        async with stopped_within(backbone.subscribe(consumers[1], uri=URI, group=GROUP)) as two:
            await eventually(lambda: len(shares[1]) == 10)
            assert two.in_flight <= 20
            release.set()
            await eventually(lambda: one.handled + two.handled == 200)
