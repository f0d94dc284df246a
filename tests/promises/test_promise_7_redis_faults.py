"""Promise 7: the consumer survives whatever its Redis does."""

import asyncio

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import BackboneError
from event_backbone.testing.servers import RedisServer
from tests.support.crashes import STREAM
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, nothing_is_left, pack, stopped_within


async def pack_when_possible(backbone: Backbone, number: int) -> bool:
    """Try to produce one event; return whether it worked."""
    try:
        await pack(backbone, number)
    except BackboneError:
        return False
    return True


async def test_promise_7_a_killed_server_that_comes_back_loses_no_event(own_redis: RedisServer) -> None:
    """With an append-only file: what was handled and not yet acked comes again, everything comes."""
    consumer, numbers, go_on = Consumer(Parcels), list[int](), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number >= 50:
            await go_on.wait()

    async with Backbone(own_redis.url, environment="test") as backbone:
        await pack(backbone, *range(100))
        async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP), 60):
            await eventually(lambda: len(numbers) >= 55)
            own_redis.kill()
            go_on.set()
            await asyncio.sleep(0)
            own_redis.start()
            await eventually(lambda: set(numbers) == set(range(100)))
            await eventually(lambda: nothing_is_left(backbone))


async def test_promise_7_an_outage_is_logged_once_and_ended_by_the_server_alone(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Not once per try; health shows it meanwhile."""
    remembering = Remembering()
    async with (
        Backbone(own_redis.url, environment="test") as backbone,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 60) as subscription,
    ):
        await eventually(lambda: subscription.ready)
        own_redis.kill()
        await eventually(lambda: not subscription.ready)
        assert subscription.alive
        own_redis.start()
        await eventually(lambda: subscription.ready)
        await eventually(lambda: pack_when_possible(backbone, 1))
        await eventually(lambda: 1 in remembering.numbers)
    assert caplog.text.count("Redis does not answer") == 1
    assert caplog.text.count("again after") == 1


async def test_promise_7_a_subscription_may_start_before_its_server(own_redis: RedisServer) -> None:
    """It keeps trying, and begins when the server is there."""
    remembering = Remembering()
    own_redis.kill()
    async with (
        Backbone(own_redis.url, environment="test") as backbone,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 60) as subscription,
    ):
        assert (subscription.alive, subscription.ready) == (True, False)
        own_redis.start()
        await eventually(lambda: subscription.ready)
        await eventually(lambda: pack_when_possible(backbone, 1))
        await eventually(lambda: 1 in remembering.numbers)


async def milliseconds(client: Redis) -> int:
    """Return the server's time."""
    seconds, microseconds = await client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def has_come(client: Redis, then: int) -> bool:
    """Return whether it is then."""
    return await milliseconds(client) >= then


@pytest.mark.parametrize("deed", ["flush", "delete", "rename", "expire"])
async def test_promise_7_a_stream_that_vanishes_is_consumed_again_when_it_comes_back(redis_url: str, deed: str) -> None:
    """However it vanished: the next event arrives, and no loop runs hot meanwhile."""
    remembering = Remembering()
    async with (
        Backbone(redis_url, environment="test") as backbone,
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)) as subscription,
    ):
        await pack(backbone, 1)
        await eventually(lambda: subscription.handled == 1)
        match deed:
            case "flush":
                await client.flushall()
            case "delete":
                await client.delete(STREAM.key)
            case "rename":
                await client.rename(STREAM.key, "gone")
            case _:
                await client.pexpire(STREAM.key, 1)
                expired_at = await milliseconds(client) + 2
                await eventually(lambda: has_come(client, expired_at))  # else the next event may vanish, too
        await pack(backbone, 2)
        await eventually(lambda: 2 in remembering.numbers)


async def test_promise_7_a_destroyed_group_is_made_again_from_the_beginning(
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
