"""Outcomes of crashes and outages: one test for each row of docs/reference/outcomes.md."""

from datetime import timedelta

from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.storage import RedisHashStorage
from event_backbone.stream.base import Streams
from event_backbone.stream.values import Lease
from event_backbone.testing.servers import RedisServer
from tests.outcomes.one_event import AT_ONCE, assert_dead
from tests.support.crashes import STREAM, crash, crash_again, steal
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, run_to_the_end, stopped_within


async def test_consumer_crashes(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """Delivered again after the lease, as the next attempt."""
    await pack(backbone, 1)
    await crash(streams, 1)
    remembering = Remembering()
    lease = timedelta(milliseconds=200)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1, lease=lease))
    assert remembering.attempts == [2]
    assert counted.count("event_backbone.redelivered", group=GROUP) == 1


async def test_event_crashes_every_consumer(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """It runs alone from its third delivery on, and is a dead letter after its last attempt."""
    await pack(backbone, 1)
    await crash(streams, 2)
    for member in ("alone-1", "alone-2", "alone-3"):
        (delivery,) = await crash_again(streams, member, 1)
        await streams.group_leases(STREAM, GROUP, member).mark_alone(Lease(delivery.entry.key, delivery.attempt))
    lease = timedelta(milliseconds=200)
    subscription = backbone.subscribe(
        Remembering().consumer, uri=URI, group=GROUP, max_events=1, lease=lease, retry=AT_ONCE
    )
    await run_to_the_end(subscription)
    await assert_dead(backbone, counted, "crashed")


async def test_lease_lost(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """The new holder decides; here the handlers are cancelled, and nothing is acked."""
    stuck, lease = Stuck(), timedelta(seconds=1)
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=lease)):
        await stuck.running.wait()
        await steal(streams)
        await stuck.cancelled.wait()
    (state,) = await backbone.groups(URI)
    assert state.pending == 1
    assert counted.count("event_backbone.lease_lost", group=GROUP) == 1


async def test_event_deleted_while_pending(
    backbone: Backbone, streams: Streams, redis: Redis, counted: CountedMetrics
) -> None:
    """Lost, which is counted; it is no longer pending."""
    key = await backbone.producer(Parcels, uri=URI).packed(1)
    await crash(streams, 1)
    await redis.xdel(STREAM.key, key.entry_id)
    lease = timedelta(milliseconds=200)
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, lease=lease)):
        await eventually(lambda: counted.count("event_backbone.vanished", group=GROUP) == 1)
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_inline_event_erased_while_pending(redis_url: str, streams: Streams, counted: CountedMetrics) -> None:
    """Its entry is deleted, and yet it is not lost: it is skipped, and no longer pending."""
    storage, lease = RedisHashStorage(inline_up_to_bytes=64), timedelta(milliseconds=200)
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        key = await backbone.producer(Parcels, uri=URI).packed(1)
        await crash(streams, 1)
        await backbone.erase(URI, key)
        async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, lease=lease)):
            await eventually(lambda: counted.count("event_backbone.skipped", reason="erased", group=GROUP) == 1)
        (state,) = await backbone.groups(URI)
    assert state.pending == counted.count("event_backbone.vanished") == 0


async def test_group_missing(backbone: Backbone, redis: Redis, counted: CountedMetrics) -> None:
    """Created again, from the beginning."""
    remembering = Remembering()
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        await remembering_one(backbone, remembering)
        await redis.xgroup_destroy(STREAM.key, GROUP)
        await eventually(lambda: remembering.numbers == [1, 1])
    assert counted.count("event_backbone.group_recreated", group=GROUP) == 1


async def test_redis_down(own_redis: RedisServer, counted: CountedMetrics) -> None:
    """Waited for; the outage is counted once."""
    remembering = Remembering()
    async with Backbone(own_redis.url, environment="test") as backbone:
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 60):
            await remembering_one(backbone, remembering)
            own_redis.kill()
            await eventually(lambda: counted.count("event_backbone.outages", side="consumer") == 1)
            own_redis.start()
            await eventually(lambda: _produced(backbone))
            await eventually(lambda: 2 in remembering.numbers)
        assert counted.count("event_backbone.outages", side="consumer") == 1


async def remembering_one(backbone: Backbone, remembering: Remembering) -> None:
    """Produce one event and wait until it was handled."""
    await pack(backbone, 1)
    await eventually(lambda: remembering.numbers == [1])


async def _produced(backbone: Backbone) -> bool:
    await pack(backbone, 2)
    return True
