"""A failover that loses the last writes loses no archived event: archivers notice it, and a restore repairs it."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue
from redis.asyncio import Redis

from event_backbone.archive.segment_writer import SegmentWriter
from event_backbone.errors import ConfigurationError, EventsLost
from event_backbone.model import EventKey
from event_backbone.storage.s3.objects import S3Objects
from event_backbone.stream.redis import RedisStreams
from tests.support.archives import STREAM, ArchivedStream
from tests.support.failovers import Replica
from tests.support.parcels import URI


async def _after_restore(archived: ArchivedStream) -> list[tuple[EventKey, JsonValue]]:
    """Restore, archive the rest, and return what archive and stream have then, which must be the same."""
    await archived.backbone.restore(URI)
    await archived.archive_all()
    found = await archived.in_redis()
    assert await archived.everywhere() == found
    return found


async def _try_to_commit(writer: SegmentWriter) -> None:
    try:
        await writer.commit()
    except EventsLost:
        return


async def test_a_failover_that_loses_committed_events_is_noticed_by_the_next_commit(
    archived: ArchivedStream, redis: Redis
) -> None:
    """Although the archiver itself has noticed nothing, as its connection was opened again at once."""
    keys = await archived.produce(1, 2)
    writer = await archived.writer()
    replica = await Replica.of(redis)
    keys += await archived.produce(3)
    await archived.read_on(writer)
    await writer.commit()
    await replica.take_over(redis)
    await archived.produce(4)
    await archived.read_on(writer)
    with pytest.raises(EventsLost):
        await writer.commit()
    found = await _after_restore(archived)
    assert [number for _, number in found] == [1, 2, 3, 4]
    assert [key for key, _ in found[:3]] == keys


@pytest.mark.parametrize("others", [False, True])
async def test_a_failover_during_a_commit_is_noticed(
    archived: ArchivedStream, redis: Redis, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    """Between the segment and the note that it is committed, which nothing but the note before it can be trusted in.

    So it is when another archiver wrote the segment, and this one finds it.
    """
    await archived.produce(1)
    writer, other = await archived.writer(), await archived.writer()
    await archived.read_on(other)
    replica = await Replica.of(redis)
    await archived.produce(2)
    await archived.read_on(writer)
    create = S3Objects.create

    async def then_fail_over(objects: S3Objects, key: str, body: bytes, *, content_type: str) -> bool:
        created = await create(objects, key, body, content_type=content_type)
        await replica.take_over(redis)
        return created

    with monkeypatch.context() as patched:
        patched.setattr(S3Objects, "create", then_fail_over)
        await _try_to_commit(writer)
    await archived.produce(3)
    if others:
        await archived.read_on(other)
        await _try_to_commit(other)
    assert (await archived.backbone.plan_restore(URI)).events_lost
    with pytest.raises(EventsLost):
        await archived.writer()
    assert [number for _, number in await _after_restore(archived)] == [1, 2, 3]


@pytest.mark.parametrize("reads_between", [False, True])
async def test_what_was_read_before_a_failover_is_not_committed_after_it(
    archived: ArchivedStream, redis: Redis, *, reads_between: bool
) -> None:
    """Otherwise events would be in the archive that the stream no longer has, and groups would never handle them."""
    await archived.produce(1)
    writer = await archived.writer()
    replica = await Replica.of(redis)
    await archived.produce(2)
    await archived.read_on(writer)
    await replica.take_over(redis)
    await archived.produce(3)
    if reads_between:
        await archived.read_on(writer)
    await _try_to_commit(writer)
    found = await _after_restore(archived)
    assert sorted(str(number) for _, number in found) == ["1", "2", "3"]


async def test_a_segment_that_is_on_its_way_while_redis_is_lost_and_restored_is_not_written(
    archived: ArchivedStream, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its events would be in the history twice: they were appended again, from their packs."""
    await archived.produce(1)
    await archived.archive_all()
    writer = await archived.writer()
    await archived.produce(2)
    await archived.read_on(writer)
    create = S3Objects.create

    async def after_a_restore(objects: S3Objects, key: str, body: bytes, *, content_type: str) -> bool:
        monkeypatch.setattr(S3Objects, "create", create)
        await redis.flushall()
        await archived.backbone.restore(URI)
        return await create(objects, key, body, content_type=content_type)

    monkeypatch.setattr(S3Objects, "create", after_a_restore)
    assert not await writer.commit()
    await archived.archive_all()
    assert await archived.everywhere() == await archived.in_redis()
    assert [number for _, number in await archived.in_redis()] == [1, 2]


async def test_what_a_failover_lost_long_ago_is_found_from_a_given_time_on(
    archived: ArchivedStream, redis: Redis
) -> None:
    """The archive has gone on since, so its end says nothing about it."""
    began = datetime.now(UTC) - timedelta(seconds=1)
    await archived.produce(1)
    replica = await Replica.of(redis)
    await archived.produce(2)
    await replica.take_over(redis)
    (key,) = await archived.produce(3)
    (entry,) = await RedisStreams(archived.connection).stream(STREAM).range(key, None, 1)
    await redis.xdel(STREAM.key, key.entry_id)
    an_hour_later = f"{key.milliseconds + 3_600_000}-0"
    fields = [part for field in entry.fields.items() for part in field]
    await archived.connection.command("XADD", STREAM.key, an_hour_later, *fields)
    await archived.archive_all()
    assert (await archived.backbone.plan_restore(URI)).nothing_to_do
    assert (await archived.backbone.plan_restore(URI, since=began)).lost == 1
    assert (await archived.backbone.restore(URI, since=began)).appended == 1
    assert [number for _, number in await archived.in_redis()] == [1, 3, 2]
    with pytest.raises(ConfigurationError, match="since needs a time zone"):
        await archived.backbone.plan_restore(URI, since=datetime.now())  # noqa: DTZ005 - the case
