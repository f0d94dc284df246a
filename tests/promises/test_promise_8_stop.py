"""Promise 8: a stop is graceful."""

import asyncio
import time
from datetime import timedelta
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import ConfigurationError, Retry
from event_backbone.testing.servers import RedisServer
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, run_to_the_end, stopped_within


async def test_promise_8_an_idle_subscription_stops_at_once(backbone: Backbone) -> None:
    """The waiting read is ended, not waited for."""
    subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        await eventually(lambda: subscription.ready)
        began = monotonic()
        subscription.stop()
        await subscription.wait()
    assert monotonic() - began < 0.8


async def test_promise_8_what_runs_is_finished_and_acked(backbone: Backbone) -> None:
    """The handler ends after the stop, and its event does not come again."""
    stuck = Stuck()
    await pack(backbone, 1)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        await stuck.running.wait()
        subscription.stop()
        asyncio.get_running_loop().call_later(0.2, stuck.release.set)
    assert (stuck.numbers, stuck.cancelled.is_set(), subscription.handled) == ([1], False, 1)
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_promise_8_what_was_not_begun_goes_back_at_once_with_its_count_restored(backbone: Backbone) -> None:
    """Another consumer gets it on its first attempt, long before the lease would have ended."""
    stuck, remembering = Stuck(), Remembering()
    await pack(backbone, *range(20))
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=1)) as subscription:
        await stuck.running.wait()
        subscription.stop()
        stuck.release.set()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=19))
    assert sorted(remembering.numbers) == list(range(1, 20))
    assert set(remembering.attempts) == {1}


async def test_promise_8_a_parked_event_stays_parked_and_restarts_cost_it_no_attempt(backbone: Backbone) -> None:
    """The member that looks when it is due makes the second attempt, however many members came and went meanwhile."""
    failing, failed = Consumer(Parcels), asyncio.Event()

    @failing.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        failed.set()
        raise Retry(after=timedelta(seconds=1))

    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(failing, uri=URI, group=GROUP)):
        await failed.wait()
    remembering = Remembering()
    for _ in range(3):
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
            pass
    (state,) = await backbone.groups(URI)
    assert (remembering.numbers, state.parked, state.pending) == ([], 1, 1)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1))
    assert (remembering.numbers, remembering.attempts) == ([1], [2])


async def test_promise_8_what_takes_longer_than_drain_is_cancelled_and_goes_back_uncounted(backbone: Backbone) -> None:
    """The next member gets it at once, on its first attempt: a stop is not the event's failure."""
    stuck, drain = Stuck(), timedelta(milliseconds=50)
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, drain=drain)):
        await stuck.running.wait()
    assert stuck.cancelled.is_set()
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.consumers) == (1, 0)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1))
    assert remembering.attempts == [1]


async def test_promise_8_a_second_stop_may_shorten_the_drain(backbone: Backbone) -> None:
    """As a second signal does."""
    stuck = Stuck()
    await pack(backbone, 1)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, drain=timedelta(minutes=5))
    async with stopped_within(subscription):
        await stuck.running.wait()
        subscription.stop()
        subscription.stop(drain=timedelta())
        await subscription.wait()


async def test_promise_8_the_consumer_is_removed_from_its_group_when_nothing_is_pending(backbone: Backbone) -> None:
    """No dead consumers are left."""
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.ready)
        await pack(backbone, 1)
        await eventually(lambda: subscription.handled == 1)
        (running,) = await backbone.groups(URI)
    (stopped,) = await backbone.groups(URI)
    assert (running.consumers, stopped.consumers) == (1, 0)


async def test_promise_8_a_stop_ends_although_the_server_is_away(own_redis: RedisServer) -> None:
    """In bounded time, and without an error."""
    remembering, drain = Remembering(), timedelta(seconds=1)
    async with Backbone(own_redis.url, environment="test") as backbone:
        await pack(backbone, 1)
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, drain=drain)
        async with stopped_within(subscription, 30):
            await remembering.running.wait()
            own_redis.kill()
            await eventually(lambda: not subscription.ready)
            subscription.stop()
            await subscription.wait()


async def test_promise_8_a_loop_that_is_ended_from_outside_ends_the_subscription_with_an_error(
    backbone: Backbone,
) -> None:
    """For example by a library that cancels all tasks: no subscription looks alive and does nothing."""
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.ready)
        for task in asyncio.all_tasks():
            if task.get_name() == "event-backbone-acks":
                task.cancel()
        with pytest.raises(RuntimeError, match="ended from outside"):
            await subscription.wait()
        assert not subscription.alive


async def test_promise_8_a_handler_that_swallows_its_cancellation_does_not_delay_the_stop(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left behind, and the log says so; its event goes back, on its first attempt."""
    consumer, running, release = Consumer(Parcels), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        running.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    await pack(backbone, 1)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, drain=timedelta())
    try:
        async with stopped_within(subscription):
            await running.wait()
            began = time.monotonic()
            subscription.stop()
            await subscription.wait()
        assert time.monotonic() - began < 3
        assert subscription.left_behind == 1
        assert "kept running after they were cancelled" in caplog.text
    finally:
        release.set()  # otherwise the end of the test would wait for the handler forever
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1))
    assert remembering.attempts == [1]


async def test_promise_8_a_configuration_error_ends_the_subscription_and_rises_from_wait(
    own_redis: RedisServer,
) -> None:
    """Waiting would not help: the server now asks for a password that nobody gave."""
    async with Backbone(own_redis.url, environment="test") as backbone, Redis.from_url(own_redis.url) as client:
        subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
        async with subscription:
            await eventually(lambda: subscription.ready)
            await client.config_set("requirepass", "changed")
            await client.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(ConfigurationError):
                await subscription.wait()
            assert not subscription.alive
