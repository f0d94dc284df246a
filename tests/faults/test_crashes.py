"""Crashes at the two worst moments, entries deleted during handling, and duplicates from two processes."""

import asyncio
import signal
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.model import new_event_id
from event_backbone.policy import RetryPolicy
from event_backbone.stream.redis.settlement_scripts import ACK
from event_backbone.testing.servers import RedisServer
from tests.faults.known_scripts import called, load_scripts
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, nothing_is_left, pack, stopped_within
from tests.support.worker_process import worker

STREAM = "test:parcels"


async def first_row_end(admin: Redis) -> float:
    """Return when the lease of the only member ends, in milliseconds."""
    _, end = cast(
        "list[tuple[bytes, float]]", await admin.zrange(f"{{{STREAM}}}:members:{GROUP}", 0, 0, withscores=True)
    )[0]
    return end


async def test_killed_between_handler_and_ack_an_event_comes_again_once(
    backbone: Backbone, redis_server: RedisServer, redis_url: str
) -> None:
    """Scenario 5: as its second attempt, within the lease and one second."""
    await load_scripts(redis_url)
    async with proxy_before(redis_server.port) as proxy:
        proxy.swallow(called(ACK))
        async with worker(proxy.url, "--lease=0.5") as killed:
            await pack(backbone, 1)
            await killed.until("done 1 1")
            await proxy.swallowed.wait()
            killed.send(signal.SIGKILL)
            await killed.ended()
    async with worker(redis_url, "--lease=0.5") as heir:
        await heir.until("done 1 2")
        await eventually(lambda: nothing_is_left(backbone))
        assert heir.numbers("began") == [1]


async def test_killed_between_read_and_handler_events_come_again_once(backbone: Backbone, redis_url: str) -> None:
    """Scenario 5: those that were read and had not begun, and the one that ran, each as its second attempt."""
    await pack(backbone, *range(1, 6))
    async with worker(redis_url, "--lease=0.5", "--concurrency=1", "--block-odd") as killed:
        await killed.until("began 1 1")
        taken = len(await backbone.pending(URI, GROUP))
        assert taken > 1
        killed.send(signal.SIGKILL)
        await killed.ended()
    async with worker(redis_url, "--lease=0.5") as heir:
        await eventually(lambda: nothing_is_left(backbone))
        await eventually(lambda: len(heir.numbers("done")) == 5)
        assert sorted(heir.numbers("began")) == [1, 2, 3, 4, 5]
        attempts = dict(zip(heir.numbers("began"), heir.attempts("began"), strict=True))
    assert attempts == {number: 2 if number <= taken else 1 for number in range(1, 6)}


@pytest.mark.parametrize("trimmed", [True, False])
async def test_events_deleted_under_a_members_hands_are_handled_with_what_was_read(
    backbone: Backbone, redis_url: str, trimmed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Scenario 14: one runs for three leases, others are queued. None is reported as taken over by another."""
    consumer, numbers, running, go_on = Consumer(Parcels), list[int](), asyncio.Event(), asyncio.Event()
    counted, lease = CountedMetrics(), timedelta(milliseconds=400)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number == 0:
            running.set()
            await go_on.wait()

    async with Redis.from_url(redis_url) as admin:
        await pack(backbone, *range(5))
        keys = [event.key.entry_id async for event in backbone.reader(URI).scan()]
        subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=4, lease=lease)
        async with stopped_within(subscription):
            await running.wait()
            await (admin.xtrim(STREAM, maxlen=0, approximate=False) if trimmed else admin.xdel(STREAM, *keys))
            renewed_to = await first_row_end(admin) + 3000 * lease.total_seconds()
            await eventually(lambda: _renewed(admin, renewed_to))
            go_on.set()
            await pack(backbone, 7)
            await eventually(lambda: subscription.handled == 6)
            await eventually(lambda: nothing_is_left(backbone))
    assert sorted(numbers) == [0, 1, 2, 3, 4, 7]
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []
    assert [counted.count(f"event_backbone.{name}") for name in ("vanished", "lease_lost")] == [0, 0]
    assert "lost" not in caplog.text


async def _renewed(admin: Redis, to: float) -> bool:
    return await first_row_end(admin) >= to


async def test_events_deleted_while_nobody_has_them_are_counted_as_vanished_once(
    backbone: Backbone, redis_url: str
) -> None:
    """Scenario 14: one failed and is deleted before it is parked, one is deleted while it waits. Other events go on."""
    consumer, numbers, counted = Consumer(Parcels), list[int](), CountedMetrics()
    retry = RetryPolicy(backoff=timedelta(seconds=1))

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number == 1:
            await admin.xdel(STREAM, ctx.metadata.key.entry_id)
        if number <= 2:
            raise LookupError

    async with Redis.from_url(redis_url) as admin:
        await pack(backbone, 1, 2)
        async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry)):
            await eventually(lambda: _parked(backbone, 1))
            await admin.xtrim(STREAM, maxlen=0, approximate=False)
            await pack(backbone, 3)
            await eventually(lambda: counted.count("event_backbone.vanished") == 2)
            await eventually(lambda: nothing_is_left(backbone))
        assert sorted(numbers) == [1, 2, 3]
        assert await admin.keys("*attempts*") == []
    assert counted.count("event_backbone.lease_lost") == 0


async def _parked(backbone: Backbone, count: int) -> bool:
    (state,) = await backbone.groups(URI)
    return state.parked == count


async def test_one_event_id_from_two_processes_at_once_makes_one_entry(backbone: Backbone, redis_url: str) -> None:
    """Scenario 15: every call answers the same key, whichever connection it used."""
    event_id = new_event_id()
    async with Backbone(redis_url, environment="test") as other:
        producers = [each.producer(Parcels, uri=URI) for each in (backbone, other)]
        keys = await asyncio.gather(
            *(producers[number % 2].packed.using(event_id=event_id)(number) for number in range(100))
        )
    assert len(set(keys)) == 1
    assert [event.key async for event in backbone.reader(URI).scan()] == [keys[0]]
