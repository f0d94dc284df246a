"""Promises 3 to 7 of the consuming side, each by name. Promise 8 is in test_consume_stop."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.metadata import EventKey, StreamName
from event_backbone.policy import RetryPolicy
from event_backbone.stream.base import Streams
from event_backbone.stream.values import Delivery, Lease
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

STREAM = StreamName.of(URI, "test")
SHORT = timedelta(milliseconds=200)


async def crash(streams: Streams, times: int) -> Sequence[Delivery]:
    """Deliver what the group has to consumers that die: to each of them everything, without a word of failure."""
    reader = streams.group_reader(STREAM, GROUP, "crashed-0")
    await reader.ensure("beginning")
    deliveries = await reader.read(100, timedelta(0))
    for number in range(1, times):
        successor = streams.group_reader(STREAM, GROUP, f"crashed-{number}")
        deliveries = (await successor.claim(100, timedelta(0), ())).deliveries
    return deliveries


async def steal(streams: Streams) -> Sequence[Delivery]:
    """Take over whatever is pending, as another consumer would after the lease."""
    thief = streams.group_reader(STREAM, GROUP, "thief")
    return (await thief.claim(100, timedelta(0), ())).deliveries


async def test_promise_3_the_ack_comes_after_the_handler(backbone: Backbone) -> None:
    """While it runs the event is pending."""
    consumer, pending = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        (state,) = await backbone.groups(URI)
        pending.append(state.pending)

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (state,) = await backbone.groups(URI)
    assert (pending, state.pending) == ([1], 0)


async def test_promise_3_the_ack_of_a_finished_event_never_waits_for_a_slower_one(backbone: Backbone) -> None:
    """One of a batch is stuck; all others are acked meanwhile."""
    consumer, release = Consumer(Parcels), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 0:
            await release.wait()

    async def only_one_is_pending() -> bool:
        (state,) = await backbone.groups(URI)
        return state.pending == 1 and state.unread == 0

    await pack(backbone, *range(30))
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)):
        await eventually(only_one_is_pending)
        release.set()


async def test_promise_3_what_a_crashed_consumer_had_is_delivered_again(backbone: Backbone, streams: Streams) -> None:
    """After its lease, as the second attempt."""
    await pack(backbone, 1, 2)
    await crash(streams, 1)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=2))
    assert (sorted(remembering.numbers), remembering.attempts) == ([1, 2], [2, 2])


async def test_promise_4_a_handler_may_take_longer_than_the_lease(backbone: Backbone, streams: Streams) -> None:
    """Heartbeats keep it, without counting; another consumer of the group does not get the event."""
    consumer, attempts, release = Consumer(Parcels), list[int](), asyncio.Event()
    other = Remembering()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        await release.wait()

    async def renewed_often() -> bool:
        (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
        return pending.attempt == 1 and pending.idle < SHORT

    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT)):
        await eventually(lambda: attempts == [1])
        async with stopped_within(backbone.subscribe(other.consumer, uri=URI, group=GROUP, lease=SHORT)):
            deadline = asyncio.get_running_loop().time() + 5 * SHORT.total_seconds()
            while asyncio.get_running_loop().time() < deadline:
                assert await renewed_often()
                await asyncio.sleep(0.02)
        release.set()
    assert (attempts, other.numbers) == ([1], [])


async def test_promise_4_who_lost_the_lease_is_cancelled_and_cannot_ack(backbone: Backbone, streams: Streams) -> None:
    """The new holder has the event; the old one's handler ends, and its worker goes on."""
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
        backbone.subscribe(consumer, uri=URI, group=GROUP, lease=timedelta(seconds=2), concurrency=1)
    ) as subscription:
        await running.wait()
        (stolen,) = await steal(streams)
        await cancelled.wait()
        await pack(backbone, 2)
        await eventually(lambda: handled == [1, 2])
        await eventually(lambda: subscription.handled == 1)
    (pending,) = await streams.group_admin(STREAM, GROUP).pending(None, 10)
    assert (pending.key, pending.consumer, pending.attempt) == (stolen.entry.key, "thief", 2)


async def test_promise_4_a_lost_lease_shows_at_the_ack_when_no_heartbeat_came_before(
    backbone: Backbone, streams: Streams
) -> None:
    """The server refuses the ack; the event stays with its new holder."""
    consumer, running, release = Consumer(Parcels), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        running.set()
        await release.wait()

    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await running.wait()
        await steal(streams)
        release.set()
        await eventually(lambda: subscription.held == 0)
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

    await pack(backbone, 1, 2, 3)
    lease = timedelta(seconds=2)
    async with stopped_within(
        backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1, lease=lease)
    ) as subscription:
        await running.wait()
        await eventually(lambda: subscription.held == 3)
        assert len(await steal(streams)) == 3
        await eventually(lambda: subscription.held == 0)
        release.set()
    assert handled == [1]


async def test_promise_5_a_suspicious_event_runs_alone(backbone: Backbone, streams: Streams) -> None:
    """From its third delivery without a recorded failure; its neighbours were held beside the poison, no more."""
    consumer, running, together = Consumer(Parcels), 0, list[tuple[int, int]]()
    counted = CountedMetrics()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        nonlocal running
        running += 1
        await asyncio.sleep(0.01)
        together.append((ctx.attempt, running))
        running -= 1

    await pack(backbone, *range(5))
    await crash(streams, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT, max_events=5))
    assert together == [(3, 1)] * 5
    assert counted.count("event_backbone.poison_suspected") == 5


async def test_promise_5_while_one_runs_alone_no_other_subscription_runs_either(
    backbone: Backbone, streams: Streams
) -> None:
    """They share a process, and would end with it."""
    consumer, neighbour, running, seen = Consumer(Parcels), Consumer(Parcels), set[str](), list[tuple[str, int]]()

    def handler(name: str, consumer: Consumer[Parcels]) -> None:
        @consumer.on(Parcels.packed)
        async def handle(ctx: Context, number: int) -> None:
            running.add(name)
            seen.append((name, len(running)))
            await asyncio.sleep(0.005)
            seen.append((name, len(running)))
            running.discard(name)

    handler("suspect", consumer)
    handler("neighbour", neighbour)
    await pack(backbone, *range(5))
    await crash(streams, 2)
    await backbone.producer(Parcels, uri="beside").packed(0)
    for number in range(1, 100):
        await backbone.producer(Parcels, uri="beside").packed(number)
    async with (
        stopped_within(backbone.subscribe(neighbour, uri="beside", group=GROUP, concurrency=1)),
        stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT)),
    ):
        await eventually(lambda: len(seen) == 2 * 105)
    assert {count for name, count in seen if name == "suspect"} == {1}


async def test_promise_5_the_count_alone_gives_up_only_what_had_run_alone(backbone: Backbone, streams: Streams) -> None:
    """Both were delivered as often; the neighbour never had its own run, so it gets one."""
    await pack(backbone, 1, 2)
    poison, neighbour = await crash(streams, 4)
    leases = streams.group_leases(STREAM, GROUP, "crashed-3")
    assert not await leases.mark_alone(Lease(poison.entry.key, poison.attempt))
    remembering = Remembering()
    retry = RetryPolicy(max_attempts=4)
    await run_to_the_end(
        backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=2, retry=retry)
    )
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.key, letter.reason) == (poison.entry.key, "crashed")
    assert (remembering.numbers, neighbour.attempt) == ([2], 4)


async def test_promise_5_recorded_failures_are_no_crashes(backbone: Backbone) -> None:
    """An event that fails in order is never suspected, whatever its attempt."""
    consumer, attempts = Consumer(Parcels), list[int]()
    counted = CountedMetrics()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 5:
            raise OSError

    await pack(backbone, 1)
    retry = RetryPolicy(backoff=timedelta())
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry)
    await run_to_the_end(subscription)
    assert attempts == [1, 2, 3, 4, 5]
    assert counted.count("event_backbone.poison_suspected") == 0


async def test_promise_6_an_erased_payload_is_an_outcome_and_not_an_endless_retry(backbone: Backbone) -> None:
    """The event is a dead letter, and the next one is handled."""
    key: EventKey = await backbone.producer(Parcels, uri=URI).packed(1)
    await pack(backbone, 2)
    await backbone.erase(URI, key)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.key, letter.reason, remembering.numbers) == (key, "payload-erased", [2])


async def test_promise_7_a_destroyed_group_is_made_anew_from_the_beginning(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Never silently at the end: what was produced meanwhile arrives, and what was handled comes again."""
    remembering = Remembering()
    async with (
        Backbone(redis_url, environment="test") as backbone,
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, start="now")),
    ):
        await pack(backbone, 1)
        await eventually(lambda: remembering.numbers == [1])
        await client.xgroup_destroy(STREAM.key, GROUP)
        await pack(backbone, 2)
        await eventually(lambda: set(remembering.numbers) == {1, 2} and len(remembering.numbers) >= 3)
    assert caplog.text.count("was missing") == 1


async def test_promise_7_a_flushed_server_is_used_again_at_once(redis_url: str) -> None:
    """Stream, group, scripts: all gone; the subscription makes what it needs."""
    remembering = Remembering()
    async with (
        Backbone(redis_url, environment="test") as backbone,
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)) as subscription,
    ):
        await pack(backbone, 1)
        await eventually(lambda: remembering.numbers == [1])
        await client.flushall()
        await client.script_flush()
        await pack(backbone, 2)
        await eventually(lambda: 2 in remembering.numbers)
        await eventually(lambda: subscription.ready)
