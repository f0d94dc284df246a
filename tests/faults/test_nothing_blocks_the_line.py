"""One event, one subscription or a server that refuses only some writes must not block everything else."""

import asyncio
from datetime import timedelta
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import ConfigurationError, Reject
from event_backbone.model import StreamName
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import RedisServer
from tests.faults.known_scripts import load_scripts
from tests.support.crashes import crash
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, stopped_within

STREAM = StreamName.of(URI, "test")


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    """The URL of a server that the test may break."""
    return own_redis.url


@pytest.mark.parametrize("failure", [Reject("not this one"), LookupError()])
async def test_failures_that_cannot_be_written_down_do_not_hold_up_the_others(
    own_redis: RedisServer, backbone: Backbone, failure: Exception
) -> None:
    """Scenario 13: the server is full. More fail than handlers run at once; the others are handled and acked.

    Parking is not refused, so what failed is tried again meanwhile; dead letters are refused.
    """
    consumer, numbers = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number < 5 and ctx.attempt == 1:
            raise failure

    await pack(backbone, *range(20))
    async with Redis.from_url(own_redis.url) as admin:
        subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=2)
        await load_scripts(own_redis.url)
        await admin.xgroup_create(STREAM.key, GROUP, id="0")
        await admin.config_set("maxmemory", "1")
        async with stopped_within(subscription, 40):
            await eventually(lambda: set(numbers) == set(range(20)))
            at_first = 15 if isinstance(failure, Reject) else 20
            await eventually(lambda: subscription.handled == at_first)
            assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []
            await admin.config_set("maxmemory", "0")
            await eventually(lambda: subscription.handled == 20)
    assert len(numbers) == (20 if isinstance(failure, Reject) else 25)


async def test_a_suspicious_event_on_a_full_server_does_not_hold_up_the_others(
    own_redis: RedisServer, backbone: Backbone, streams: RedisStreams
) -> None:
    """That it runs alone cannot be recorded, so it waits; it runs when the server has memory again."""
    remembering, counted = Remembering(), CountedMetrics()
    await pack(backbone, 0)
    await crash(streams, 2)
    await pack(backbone, *range(1, 20))
    async with Redis.from_url(own_redis.url) as admin:
        await load_scripts(own_redis.url)
        await admin.config_set("maxmemory", "1")
        lease = timedelta(seconds=1)
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)
        async with stopped_within(subscription, 40):
            await eventually(lambda: set(remembering.numbers) >= set(range(1, 20)))
            await eventually(lambda: counted.count("event_backbone.outages", side="consumer") == 1)
            assert counted.count("event_backbone.poison_suspected") == 0
            await admin.config_set("maxmemory", "0")
            await eventually(lambda: 0 in remembering.numbers)
    assert counted.count("event_backbone.poison_suspected") == 1


async def test_a_stop_does_not_wait_for_what_another_subscription_runs_alone(
    backbone: Backbone, streams: RedisStreams
) -> None:
    """A suspicious event of one delays the other's handlers, but not its end."""
    stuck, lease = Stuck(), timedelta(seconds=1)
    await pack(backbone, 0)
    await crash(streams, 2)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=lease)):
        await stuck.running.wait()
        async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group="other")) as stopping:
            begun = monotonic()
            stopping.stop()
            await stopping.wait()
            assert monotonic() - begun < 5
        stuck.release.set()


async def test_two_reasons_to_cancel_a_handler_do_not_cancel_each_other_out(
    own_redis: RedisServer, backbone: Backbone
) -> None:
    """Its lease is lost, and while it cleans up the whole subscription breaks: the subscription still ends."""
    stuck = Stuck()
    stuck.cleaned.clear()
    async with Redis.from_url(own_redis.url) as admin:
        lease, drain = timedelta(milliseconds=400), timedelta(seconds=1)
        subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=lease, drain=drain)
        async with asyncio.timeout(20), subscription:
            await pack(backbone, 1)
            await stuck.running.wait()
            (entry,) = await backbone.pending(URI, GROUP)
            await admin.xclaim(STREAM.key, GROUP, "other", 0, [entry.key.entry_id])
            await stuck.cancelled.wait()
            await admin.config_set("requirepass", "changed")
            await admin.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(ConfigurationError):
                await subscription.wait()
