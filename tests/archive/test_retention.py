"""Retention of a stream with an archive: only what is archived leaves Redis, and readers see one history."""

import pytest

from event_backbone import Backbone, EventsLost
from event_backbone.archive import S3Archive
from event_backbone.connection import RedisConnection
from event_backbone.errors import StreamError
from event_backbone.stream.redis.restoring import RedisRestoring
from event_backbone.stream.redis.retention_values import Interrupted
from tests.archive.conftest import Make
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.letters import numbers_of
from tests.support.parcels import URI, Remembering
from tests.support.restoring import KEEP
from tests.support.retention import AT_ONCE, Retained

GROUP = "main-consumer"


@pytest.mark.parametrize("storage_name", ["redis-hash", "inline", "s3", "s3-cached"])
async def test_only_what_is_archived_leaves_redis(
    archived_backbone: Make, storage_name: str, connection: RedisConnection
) -> None:
    """Nothing without notes of the archive; readers then find there what is gone, one event or all."""
    async with archived_backbone(storage_name) as backbone:
        retained = Retained(backbone, connection)
        keys = await retained.produce(*range(10))
        await retained.carry_out()
        assert await retained.left() == keys
        await archive_all(backbone, URI)
        more = await retained.produce(10, 11)
        await retained.carry_out()
        assert await retained.left() == more
        assert await retained.payloads() == (0 if storage_name in {"s3", "inline"} else len(more))
        assert await numbers_of(backbone, URI) == list(range(12))
        assert (await backbone.reader(URI).get(keys[3])).arguments["number"] == 3
        remembering = Remembering()
        async with backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
        assert sorted(remembering.numbers) == [10, 11]


async def test_a_process_without_the_archive_respects_it_too(
    archived_backbone: Make, connection: RedisConnection, redis_url: str
) -> None:
    """Redis notes how far it is."""
    async with archived_backbone() as backbone:
        await Retained(backbone, connection).produce(1, 2)
        await archive_all(backbone, URI)
        later = await Retained(backbone, connection).produce(3)
    async with Backbone(redis_url, environment="test") as backbone:
        retained = Retained(backbone, connection)
        await retained.carry_out()
        assert await retained.left() == later


async def test_nothing_is_removed_when_redis_has_lost_events_or_while_they_are_restored(
    archived_backbone: Make, connection: RedisConnection
) -> None:
    """What is left may be all that there is; a restore copies it."""
    async with archived_backbone() as backbone:
        retained = Retained(backbone, connection)
        keys = await retained.produce(*range(5))
        await archive_all(backbone, URI)
        restoring = RedisRestoring(connection, retained.name)
        await restoring.begin("restore", KEEP)
        with pytest.raises(Interrupted):
            await retained.carry_out()
        with pytest.raises(StreamError, match="A restore or migration of stream test:parcels is under way"):
            await backbone.trim(URI, before=keys[-1])
        await restoring.end()

        await connection.command("DEL", retained.name.key)
        await connection.command("XADD", retained.name.key, keys[0].entry_id, "a", "failover")
        with pytest.raises(EventsLost):
            await retained.carry_out()
        assert await retained.left() == keys[:1]


async def test_a_reader_that_is_overtaken_goes_back_to_the_archive(
    archived_backbone: Make, connection: RedisConnection
) -> None:
    """While the stream shrinks under it, it reads each event once."""
    async with archived_backbone("redis-hash") as backbone:
        retained = Retained(backbone, connection)
        await retained.produce(*range(350))
        await archive_all(backbone, URI)
        numbers: list[object] = []
        async for event in backbone.reader(URI).scan():
            numbers.append(event.arguments["number"])
            if len(numbers) == 50:
                await retained.carry_out()
        assert await retained.left() == []
        assert numbers == list(range(350))


async def test_an_archiver_carries_retention_out(
    redis_url: str, connection: RedisConnection, s3_environment: object
) -> None:
    """So the stream of a project that only produces stays small: what is archived goes by itself."""
    del s3_environment
    async with Backbone(redis_url, archive=S3Archive(), environment="test") as producing:
        retained = Retained(producing, connection)
        await retained.produce(*range(20))
        async with (
            Backbone(redis_url, archive=S3Archive(), retention=AT_ONCE, environment="test") as archiving,
            archiving.archiver(URI) as archiver,
        ):
            await archiver.commit()
            await eventually(lambda: _is_empty(retained))
        assert await numbers_of(producing, URI) == list(range(20))


async def _is_empty(retained: Retained) -> bool:
    return not await retained.left()
