"""Promise 4 on a real server: who may act on an event when members, connections or the server itself fail."""

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.stream.redis.member_scripts import LOOK
from event_backbone.testing.servers import RedisServer
from tests.faults.known_scripts import called, load_scripts
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.frozen import frozen
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Remembering, Stuck, nothing_is_left, pack, stopped_within
from tests.support.worker_process import worker

STREAM = "test:parcels"
MEMBERS = f"{{{STREAM}}}:members:{GROUP}"
AWAY = "LOADING Redis is loading the dataset in memory"


async def pass_time(seconds: float) -> None:
    """Let real time pass, so that what must not happen could happen."""
    until = monotonic() + seconds
    await eventually(lambda: monotonic() >= until, seconds + 5)


async def test_an_event_that_a_dead_connection_was_given_is_found_within_a_quarter_of_the_lease(
    backbone: Backbone, redis: Redis
) -> None:
    """It is pending under the name of a living member that knows nothing of it; no lease ends, nothing is counted."""
    stuck, lease = Stuck(), timedelta(seconds=6)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=1, prefetch=1, lease=lease)
    async with stopped_within(subscription):
        await pack(backbone, 1, 2)
        await eventually(lambda: subscription.in_flight == 2)  # it has no capacity left, and does not read
        await pack(backbone, 3)
        (member,) = await redis.xinfo_consumers(STREAM, GROUP)
        assert await redis.xreadgroup(GROUP, member["name"], {STREAM: ">"}, count=1)
        given = monotonic()
        await eventually(lambda: subscription.in_flight == 3)
        assert monotonic() - given < lease.total_seconds() / 4 + 2
        stuck.release.set()
        await eventually(lambda: nothing_is_left(backbone))
    assert (stuck.numbers, stuck.attempts) == ([1, 2, 3], [1, 1, 1])


async def test_an_event_that_came_while_the_server_was_frozen_during_a_read_is_handled_once(
    own_redis: RedisServer,
) -> None:
    """The read was abandoned meanwhile; after the thaw the server may send the event to its dead connection."""
    remembering, lease = Remembering(), timedelta(seconds=20)
    async with Backbone(own_redis.url, environment="test") as backbone, Redis.from_url(own_redis.url) as redis:
        await redis.ping()
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)
        async with stopped_within(subscription, 60):
            await pack(backbone, 1)
            await eventually(lambda: subscription.handled == 1)
            with frozen(own_redis.pid):
                packing = asyncio.create_task(pack(backbone, 2))
                await eventually(lambda: not subscription.ready)
            thawed = monotonic()
            await packing
            await eventually(lambda: subscription.handled == 2)
            assert monotonic() - thawed < lease.total_seconds() / 4 + 4
    assert (remembering.numbers, remembering.attempts) == ([1, 2], [1, 1])


async def test_deleted_rows_rob_nobody(backbone: Backbone, redis: Redis) -> None:
    """However the rows of a group under load disappear: each member renews its own, and no event is handled twice."""
    members, counted = [Remembering(), Remembering()], CountedMetrics()
    lease = timedelta(seconds=1)
    async with (
        stopped_within(backbone.subscribe(members[0].consumer, uri=URI, group=GROUP, lease=lease), 60),
        stopped_within(backbone.subscribe(members[1].consumer, uri=URI, group=GROUP, lease=lease), 60),
    ):
        for first in range(0, 600, 20):
            await pack(backbone, *range(first, first + 20))
            await redis.delete(MEMBERS)
        await eventually(lambda: nothing_is_left(backbone))
    assert Counter(number for each in members for number in each.numbers) == Counter(range(600))
    assert {attempt for each in members for attempt in each.attempts} == {1}
    assert counted.count("event_backbone.lease_lost") == 0


async def test_after_a_frozen_server_thaws_a_new_member_that_is_first_robs_nobody(own_redis: RedisServer) -> None:
    """Frozen for two leases, all rows have ended; nothing is taken before live members have renewed theirs."""
    remembering = Remembering()
    async with (
        Backbone(own_redis.url, environment="test") as backbone,
        worker(own_redis.url, "--lease=2", "--block-odd", "--drain=0") as living,
    ):
        await pack(backbone, 1, 3, 5)
        await living.until("began 5 1")
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=timedelta(seconds=2))
        async with AsyncExitStack() as stack:
            with frozen(living.process.pid):
                with frozen(own_redis.pid):
                    await pass_time(4)
                await stack.enter_async_context(stopped_within(subscription, 60))
            await pass_time(3)
            assert remembering.numbers == living.numbers("cancelled") == []
            living.send(signal.SIGTERM)
            await living.ended()
            await eventually(lambda: sorted(remembering.numbers) == [1, 3, 5])
    assert set(remembering.attempts) == {1}


async def test_a_member_that_cannot_renew_begins_nothing_after_half_its_lease(
    redis_server: RedisServer, redis_url: str, backbone: Backbone
) -> None:
    """Its looks are refused, other calls work. What ran is acked; what it had read goes to others with its lease."""
    stuck, remembering, lease = Stuck(), Remembering(), timedelta(seconds=1)
    await load_scripts(redis_url)
    await pack(backbone, *range(4))
    async with proxy_before(redis_server.port) as proxy, Backbone(proxy.url, environment="test") as spoiled:
        subscription = spoiled.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=1, prefetch=3, lease=lease)
        async with stopped_within(subscription, 40):
            await eventually(lambda: stuck.numbers == [0] and subscription.in_flight >= 2)
            proxy.answer(called(LOOK), AWAY)
            await pass_time(lease.total_seconds() / 2)
            stuck.release.set()
            await eventually(lambda: subscription.handled == 1)
            async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease), 40):
                await eventually(lambda: sorted(remembering.numbers) == [1, 2, 3])
                proxy.heal()
                await eventually(lambda: subscription.ready and subscription.in_flight == 0)
                await eventually(lambda: nothing_is_left(backbone))
    assert stuck.numbers == [0]
    assert 2 in remembering.attempts


@pytest.mark.parametrize(("mine", "others"), [(60.0, 0.4), (0.4, 60.0)])
async def test_members_with_different_leases_leave_each_other_alone(
    backbone: Backbone, mine: float, others: float
) -> None:
    """As while a new lease is rolled out: each row says when its lease ends, whichever member looks at it."""
    stuck, remembering = Stuck(), Remembering()
    await pack(backbone, 1)
    async with stopped_within(
        backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=timedelta(seconds=mine))
    ) as subscription:
        await eventually(lambda: stuck.numbers == [1])
        async with stopped_within(
            backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=timedelta(seconds=others))
        ):
            await pass_time(2.5)
            stuck.release.set()
            await eventually(lambda: subscription.handled == 1)
    assert (stuck.attempts, remembering.numbers) == ([1], [])


async def test_what_a_dead_member_left_is_taken_as_fast_as_it_is_handled(backbone: Backbone, redis: Redis) -> None:
    """Not one look per second: while there is more, and capacity for it, the next look follows at once."""
    remembering = Remembering()
    await pack(backbone, *range(1500))
    await redis.xgroup_create(STREAM, GROUP, id="0")
    await redis.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=1500)
    await redis.zadd(MEMBERS, {"dead": 1})
    async with stopped_within(
        backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=timedelta(seconds=4)), 90
    ) as heir:
        await eventually(lambda: remembering.numbers != [])  # nothing is taken for a while, as nobody had looked
        begun = monotonic()
        await eventually(lambda: heir.handled == 1500, 60)
    assert monotonic() - begun < 8
    assert sorted(remembering.numbers) == list(range(1500))
    assert (await redis.xinfo_consumers(STREAM, GROUP), await redis.zcard(MEMBERS)) == ([], 0)
