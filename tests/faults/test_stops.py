"""Promise 8 on a real server: a stop ends in time, whatever Redis and the handlers do, and keeps what was done."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import ConfigurationError, Retry
from event_backbone.stream.redis.settlement_scripts import PARK
from event_backbone.testing.servers import RedisServer
from event_backbone.worker import Worker
from tests.faults.known_scripts import called
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.frozen import frozen
from tests.support.parcels import (
    GROUP,
    URI,
    Parcels,
    Remembering,
    Stuck,
    group_state,
    nothing_is_left,
    pack,
    stopped_within,
)

BEYOND_DRAIN = 3.0
SLACK = 0.7
"""For a busy machine."""


@pytest.mark.parametrize(
    ("silent", "drain_seconds"),
    [
        ("server", 0.5),
        ("network", 0.0),
        pytest.param("server", 0.0, marks=pytest.mark.long),
        pytest.param("network", 0.5, marks=pytest.mark.long),
    ],
)
async def test_a_stop_ends_in_time_although_redis_is_silent(
    own_redis: RedisServer, silent: str, drain_seconds: float
) -> None:
    """Nothing is answered, and no connection is closed. It ends within ``drain`` and 3 s; what ran comes again."""
    stuck, remembering, lease = Stuck(), Remembering(), timedelta(seconds=1)
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_before(own_redis.port))
        backbone = await stack.enter_async_context(Backbone(proxy.url, environment="test"))
        drain = timedelta(seconds=drain_seconds)
        subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=lease, drain=drain)
        await stack.enter_async_context(stopped_within(subscription, 60))
        await pack(backbone, 1, 2, 3)
        await stuck.running.wait()
        if silent == "server":
            stack.enter_context(frozen(own_redis.pid))
        else:
            proxy.swallow(b"")
        begun = monotonic()
        subscription.stop()
        await subscription.wait()
        assert monotonic() - begun < drain_seconds + BEYOND_DRAIN + SLACK
    async with (
        Backbone(own_redis.url, environment="test") as backbone,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)),
    ):
        await eventually(lambda: sorted(remembering.numbers) == [1, 2, 3])
        await eventually(lambda: nothing_is_left(backbone))


async def test_nothing_goes_on_after_a_stop_although_redis_is_silent(own_redis: RedisServer) -> None:
    """What could not be parked is left to others: no task of the subscription still tries after its end."""
    failing = Consumer(Parcels)
    failed = asyncio.Event()

    @failing.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        failed.set()
        raise Retry(timedelta())

    async with proxy_before(own_redis.port) as proxy, Backbone(proxy.url, environment="test") as backbone:
        await pack(backbone, 1)
        before = asyncio.all_tasks()
        proxy.swallow(called(PARK))
        async with stopped_within(backbone.subscribe(failing, uri=URI, group=GROUP)) as subscription:
            await failed.wait()
            await proxy.swallowed.wait()
            proxy.swallow(b"")
            subscription.stop(timedelta())
        others = asyncio.all_tasks() - before
        assert [each for each in others if "event_backbone" in repr(each)] == []


async def test_what_breaks_a_subscription_does_not_keep_finished_events_from_being_acked(
    own_redis: RedisServer,
) -> None:
    """Its user may no longer read. What runs finishes and is acked, and the error is raised."""
    stuck = Stuck()
    async with Redis.from_url(own_redis.url) as admin, Backbone(own_redis.url, environment="test") as backbone:
        await admin.acl_setuser("worker", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
        await pack(backbone, 1, 2)
        url = own_redis.url.replace("redis://", "redis://worker:secret@")
        async with (
            Backbone(url, environment="test") as limited,
            stopped_within(limited.subscribe(stuck.consumer, uri=URI, group=GROUP)) as subscription,
        ):
            await eventually(lambda: len(stuck.numbers) == 2)
            await admin.acl_setuser("worker", commands=["-xreadgroup"])
            await eventually(lambda: not subscription.ready)
            await pack(backbone, 3)
            stuck.release.set()
            with pytest.raises(ConfigurationError):
                await subscription.wait()
        state = await group_state(backbone)
    assert subscription.handled == 2
    assert (state.pending, state.unread, state.consumers) == (0, 1, 0)


async def test_a_second_stop_may_come_while_cancelled_handlers_clean_up(backbone: Backbone) -> None:
    """As a second signal does: nothing is left to shorten, and nothing goes wrong."""
    stuck = Stuck()
    stuck.cleaned.clear()
    await pack(backbone, 1)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        await stuck.running.wait()
        subscription.stop(timedelta())
        await stuck.cancelled.wait()
        subscription.stop(timedelta())
        stuck.cleaned.set()
        await subscription.wait()
    assert subscription.left_behind == 0
    assert [(each.consumer, each.attempt) for each in await backbone.pending(URI, GROUP)] == [(None, 0)]


async def test_a_stop_is_not_reported_as_a_failure(backbone: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    """The handlers that it cancels have not failed, and are not tried again after any backoff."""
    stuck = Stuck()
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, drain=timedelta())):
        await stuck.running.wait()
    assert stuck.cancelled.is_set()
    assert "failed" not in caplog.text


@pytest.mark.parametrize("worker", [False, True])
async def test_a_job_that_may_not_ask_whether_anything_is_left_ends_with_an_error(
    own_redis: RedisServer, worker: bool
) -> None:
    """It would never end otherwise: the events are handled, but this user may not look at the groups."""
    async with Redis.from_url(own_redis.url) as administrator:
        await administrator.execute_command("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", "-xlen")  # type: ignore[no-untyped-call]
    async with Backbone(own_redis.url, environment="test") as backbone:
        await pack(backbone, 1)
    url = own_redis.url.replace("redis://", "redis://ann:pw@")
    async with Backbone(url, environment="test") as backbone, asyncio.timeout(10):
        job = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, until="empty")
        with pytest.raises(ConfigurationError, match="denies this user a command"):
            async with Worker(job) if worker else job as running:
                await running.wait()
        assert not job.alive
