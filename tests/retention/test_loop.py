"""Who carries retention out: any process of a project, one at a time, whatever Redis does."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from event_backbone import Backbone
from event_backbone.retention.retention_loop import Lock
from event_backbone.stream.redis.retention_values import Interrupted
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.testing.servers import RedisServer
from event_backbone.wire.keys import RETENTION_KEY
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering
from tests.support.restoring import KEEP
from tests.support.retention import AT_ONCE, Retained


@pytest.mark.parametrize("role", ["producer", "consumer"])
async def test_a_project_that_only_produces_or_only_consumes_is_trimmed(
    role: str, retained: Retained, redis_url: str, counted: CountedMetrics
) -> None:
    """Nobody has to start anything else."""
    await retained.produce(*range(3))
    async with AsyncExitStack() as stack:
        backbone = await stack.enter_async_context(Backbone(redis_url, retention=AT_ONCE, environment="test"))
        if role == "producer":
            backbone.producer(Parcels, uri=URI)
        else:
            await stack.enter_async_context(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP))
        await eventually(lambda: _is_empty(retained))
        await eventually(lambda: counted.latest("event_backbone.stream_length", uri=URI) == 0)
    assert await retained.connection.command("EXISTS", retained.name.key_of("retention")) == 0


async def test_one_process_works_at_a_time_and_any_may_take_over(retained: Retained) -> None:
    """When it stops, at once; when it dies, after its lock has expired."""
    other = WorkLock(retained.connection, retained.name, RETENTION_KEY, "another process")
    await other.hold(KEEP)
    await retained.produce(1)
    with pytest.raises(Interrupted):
        await retained.carry_out()
    await other.let_go()
    assert (await retained.carry_out()).events == 1
    assert await other.hold(KEEP)


async def test_a_round_ends_after_its_next_step_when_the_backbone_is_left(retained: Retained, redis_url: str) -> None:
    """However much there is to remove; nothing is cancelled between an entry and its payload on another Redis."""
    producer = retained.backbone.producer(Parcels, uri=URI)
    await asyncio.gather(*(producer.packed(number) for number in range(3000)))
    async with Backbone(redis_url, retention=AT_ONCE, environment="test") as backbone:
        backbone.producer(Parcels, uri=URI)
        await eventually(lambda: _has_begun(retained))
    assert await retained.left()


async def test_leaving_that_is_cancelled_ends_retention_too(redis_url: str) -> None:
    """Nothing goes on with a backbone that is closed."""
    before = asyncio.all_tasks()
    backbone = await Backbone(redis_url, retention=AT_ONCE, environment="test").__aenter__()
    backbone.producer(Parcels, uri=URI)
    leaving = asyncio.create_task(backbone.__aexit__(None, None, None))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert asyncio.all_tasks() == before


async def test_who_was_frozen_for_too_long_begins_again(retained: Retained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock has expired, and another process may have removed what it has measured."""
    monkeypatch.setattr("event_backbone.retention.retention_loop._RENEW_SECONDS", 0.0)
    lock = Lock(WorkLock(retained.connection, retained.name, RETENTION_KEY, "a process"))
    await lock.hold()
    await lock.hold()
    await retained.connection.command("DEL", retained.name.key_of(RETENTION_KEY))
    with pytest.raises(Interrupted):
        await lock.hold()
    await lock.hold()


async def test_it_survives_an_outage_of_redis(own_redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """It says so once, and goes on by itself; leaving the backbone meanwhile does not wait for Redis."""
    async with Backbone(own_redis.url, retention=AT_ONCE, environment="test") as backbone:
        backbone.producer(Parcels, uri=URI)
        own_redis.kill()
        await eventually(lambda: "No events are removed from test:parcels" in caplog.text, within_seconds=30)
        own_redis.restart()
        assert backbone.redis is not None
        retained = Retained(backbone, backbone.redis)
        await retained.produce(1)
        await eventually(lambda: _is_empty(retained), within_seconds=40)
        own_redis.kill()


async def _has_begun(retained: Retained) -> bool:
    return await retained.connection.command("XLEN", retained.name.key) != 3000


async def _is_empty(retained: Retained) -> bool:
    return not await retained.left()
