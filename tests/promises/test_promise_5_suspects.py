"""Promise 5: an event that may have ended its process runs alone, and does not block others."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from event_backbone.stream.base import Streams
from event_backbone.stream.values import Lease
from tests.support.crashes import STREAM, crash
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, run_to_the_end, stopped_within

SHORT = timedelta(milliseconds=200)


async def test_promise_5_a_suspicious_event_runs_alone(backbone: Backbone, streams: Streams) -> None:
    """After two unexplained ends: whether it was the cause, or in flight beside it."""
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


async def test_promise_5_one_unexplained_end_makes_no_suspect(backbone: Backbone, streams: Streams) -> None:
    """A deployment that kills its workers must not make events run one by one."""
    await pack(backbone, *range(5))
    await crash(streams, 1)
    counted, remembering = CountedMetrics(), Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=5))
    assert (remembering.attempts, counted.count("event_backbone.poison_suspected")) == ([2] * 5, 0)


async def test_promise_5_healthy_events_go_on_between_suspects_and_beside_one_that_hangs(
    backbone: Backbone, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    """A suspect that hangs delays the others for ``alone_for``; meanwhile, ``ready`` is false."""
    consumer, healthy, suspects, release = Consumer(Parcels), list[int](), list[int](), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if ctx.attempt > 1:
            suspects.append(number)
            await release.wait()
        else:
            healthy.append(number)

    await pack(backbone, 0, 1)
    await crash(streams, 2)
    async with stopped_within(
        backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT, alone_for=timedelta(seconds=1))
    ) as subscription:
        await eventually(lambda: suspects == [0])
        assert not subscription.ready
        await pack(backbone, *range(10, 60))
        await eventually(lambda: len(healthy) == 50)
        assert suspects == [0]
        await eventually(lambda: suspects == [0, 1])
        await eventually(lambda: subscription.ready)
        release.set()
        await eventually(lambda: subscription.handled == 52)
    assert caplog.text.count("runs alone") == 2
    assert "still runs after" in caplog.text


async def test_promise_5_a_suspect_of_one_subscription_leaves_others_alone(
    backbone: Backbone, streams: Streams
) -> None:
    """Alone means alone in its subscription."""
    stuck, neighbour = Stuck(), Remembering()
    await pack(backbone, 0)
    await crash(streams, 2)
    async with (
        stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=SHORT)),
        stopped_within(backbone.subscribe(neighbour.consumer, uri="beside", group=GROUP)),
    ):
        await stuck.running.wait()
        await backbone.producer(Parcels, uri="beside").packed(1)
        await eventually(lambda: neighbour.numbers == [1])
        stuck.release.set()


async def test_promise_5_only_ends_alone_count_towards_the_dead_letters(backbone: Backbone, streams: Streams) -> None:
    """Both were delivered as often; the neighbour's process never ended while it ran alone, so it gets its run."""
    await pack(backbone, 1, 2)
    poison, neighbour = await crash(streams, 6)
    leases = streams.group_leases(STREAM, GROUP, "crashed-5")
    await leases.mark_alone(Lease(poison.entry.key, poison.attempt))
    remembering = Remembering()
    retry = RetryPolicy(max_attempts=1)
    await run_to_the_end(
        backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=2, retry=retry)
    )
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.key, letter.reason) == (poison.entry.key, "crashed")
    assert (remembering.numbers, remembering.attempts, neighbour.attempt) == ([2], [7], 6)


async def test_promise_5_of_several_suspects_the_least_suspected_goes_first(
    backbone: Backbone, streams: Streams
) -> None:
    """One that keeps ending its process, or its lease, would otherwise keep the others from ever being handled."""
    await pack(backbone, 1, 2, 3)
    first, *_ = await crash(streams, 2)
    leases = streams.group_leases(STREAM, GROUP, "crashed-1")
    await leases.mark_alone(Lease(first.entry.key, first.attempt))
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=3))
    assert remembering.numbers == [2, 3, 1]


async def test_promise_5_crashes_beside_others_cost_no_attempt(backbone: Backbone, streams: Streams) -> None:
    """The retry policy counts failures and ends alone; the handler still sees the delivery count."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        raise OSError

    await pack(backbone, 1)
    await crash(streams, 3)
    retry = RetryPolicy(max_attempts=2, backoff=timedelta())
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=SHORT, max_events=1, retry=retry))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.reason, attempts) == ("attempts-exhausted", [4, 5])


async def test_promise_5_recorded_failures_are_no_crashes(backbone: Backbone) -> None:
    """An event whose failures are recorded is never suspected, whatever its attempt."""
    consumer, attempts = Consumer(Parcels), list[int]()
    counted = CountedMetrics()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 5:
            raise OSError

    await pack(backbone, 1)
    retry = RetryPolicy(backoff=timedelta())
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    assert attempts == [1, 2, 3, 4, 5]
    assert counted.count("event_backbone.poison_suspected") == 0
