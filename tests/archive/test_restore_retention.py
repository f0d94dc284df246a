"""A restore brings back what retention would have kept; the rest stays in the archive, where readers find it."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, Retention
from event_backbone.archive import S3Archive
from event_backbone.archive.group_states import SavedDeadLetter, SavedGroup, read_dead_letters
from event_backbone.archive.restore_report import RestoreLimits
from event_backbone.archive.restored_part import RestoredGroup, restored_part
from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey, new_event_id
from event_backbone.storage import S3Storage
from event_backbone.stream.memory import MemoryStreams
from event_backbone.testing.servers import RedisServer
from tests.archive.conftest import ENVIRONMENT, Make
from tests.archive.test_restore_groups import Deciding
from tests.support.archives import STREAM, ArchivedStream, archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3
from tests.support.letters import STREAM as LETTERS
from tests.support.letters import URI as LETTERS_URI
from tests.support.letters import add_entry, numbers_of, send, trim
from tests.support.parcels import GROUP, URI
from tests.support.restoring import PAST, metadata_of

MINUTE = 60_000
NOTHING_BUT_NEEDED = Retention(max_age=timedelta(milliseconds=1))


@pytest.fixture
async def kept(redis_url: str, connection: RedisConnection, s3_environment: object) -> AsyncIterator[ArchivedStream]:
    """A stream with an empty archive, and with retention that keeps only what is needed."""
    del s3_environment
    archive = S3Archive(segment_bytes=300)
    async with Backbone(
        redis_url, storage=S3Storage(), archive=archive, environment=ENVIRONMENT, retention=NOTHING_BUT_NEEDED
    ) as backbone:
        yield ArchivedStream(backbone, archive, connection, redis_url)


async def _handled(kept: ArchivedStream, *, parked: int = 0, **decisions: Sequence[int]) -> list[int]:
    """Let the group handle what it can; return the numbers."""
    made = Deciding(**decisions)

    async def nothing_to_do() -> bool:
        states = {state.name: state for state in await kept.backbone.groups(URI)}
        return (states[GROUP].unread, states[GROUP].pending) == (0, parked)

    async with kept.backbone.subscribe(made.consumer, uri=URI, group=GROUP):
        await eventually(nothing_to_do)
    return made.numbers


async def test_what_groups_have_not_finished_comes_back_and_the_rest_stays_in_the_archive(
    kept: ArchivedStream, redis: Redis, redis_server: RedisServer
) -> None:
    """From the first event that a group has not read on; earlier ones that are pending or dead letters come alone.

    A group that was forgotten is where it was, and keeps nothing. Readers see all events, as before.
    """
    keys = await kept.produce(*range(6))
    await redis.xgroup_create(STREAM.key, "ahead", "$")
    await redis.xgroup_create(STREAM.key, "forgotten", keys[0].entry_id)
    await redis.xreadgroup("forgotten", "gone", {STREAM.key: ">"}, count=2)
    await redis.hset(f"{{{STREAM.key}}}:group:forgotten", "forgotten", 1)
    await _handled(kept, parked=1, reject=[1], fail=[4])
    keys += await kept.produce(6, 7)
    await kept.archive_all()
    await kept.save_groups()
    before = await kept.in_redis()
    redis_server.flush()

    plan = await kept.backbone.plan_restore(URI)
    assert (plan.restored_from, plan.archive_only) == (keys[5].successor(), 4)
    report = await kept.backbone.restore(URI)
    assert (report.archived, report.dead_letters) == (4, 1)
    assert (report.restored_from, report.archive_only) == (keys[5].successor(), 4)

    assert await kept.in_redis() == [before[number] for number in (1, 4, 6, 7)]
    assert await kept.everywhere() == before
    states = {state.name: state for state in await kept.backbone.groups(URI)}
    assert {name: (state.last_delivered, state.pending) for name, state in states.items()} == {
        GROUP: (keys[5], 1),
        "ahead": (keys[5], 0),
        "forgotten": (keys[2], 1),  # of what it had pending the dead letter's event is there
    }
    assert await redis.hexists(f"{{{STREAM.key}}}:group:forgotten", "forgotten")
    assert sorted(await _handled(kept)) == [4, 6, 7]
    await kept.backbone.dead_letters(URI, GROUP).redrive_all()
    assert await _handled(kept) == [1]


async def test_dead_letters_that_are_too_old_do_not_come_back(kept: ArchivedStream, redis_server: RedisServer) -> None:
    """Nor do their events, and the archive forgets them too."""
    await kept.produce(0, 1)
    await _handled(kept, reject=[0])
    await kept.archive_all()
    await kept.save_groups()
    redis_server.flush()
    retention = Retention(max_age=NOTHING_BUT_NEEDED.max_age, dead_letters_for=timedelta(milliseconds=1))
    async with Backbone(
        kept.url, storage=S3Storage(), archive=S3Archive(), environment=ENVIRONMENT, retention=retention
    ) as backbone:
        report = await backbone.restore(URI)
    assert (report.archived, report.archive_only, report.dead_letters) == (0, 2, 0)
    assert await read_dead_letters(kept.archive, STREAM) == {GROUP: []}


async def test_without_groups_nothing_old_comes_back(
    kept: ArchivedStream, redis: Redis, redis_server: RedisServer
) -> None:
    """Not even a last key is reused: new events come after the archived ones, and are archived."""
    await kept.produce(0, 1)
    await kept.archive_all()
    redis_server.flush()
    report = await kept.backbone.restore(URI)
    assert (report.archived, report.archive_only) == (0, 2)
    await kept.produce(2)
    assert [number for _, number in await kept.in_redis()] == [2]
    await kept.archive_all()
    found = await kept.everywhere()
    assert [number for _, number in found] == [0, 1, 2]
    await redis.delete(STREAM.key)
    assert await kept.everywhere() == found[:2]


async def test_what_redis_still_has_stays(archiving: Make, redis: Redis) -> None:
    """After a failover that lost the newest events: old ones are neither lost nor doubled, nor are their payloads."""
    async with archiving(segment_bytes=300, retention=NOTHING_BUT_NEEDED) as backbone:
        keys = await send(backbone, *range(8))
        await archive_all(backbone, LETTERS_URI)
        await trim(redis, keys[3], keep=[keys[1]])
        await redis.xdel(LETTERS, *[key.entry_id for key in keys[6:]])
        await redis.hset(f"{{{LETTERS}}}:archive", mapping=dict.fromkeys(("committed", "committing"), "0-0"))
        report = await backbone.restore(LETTERS_URI)
        assert (report.archive_only, report.moved, report.duplicates) == (4, 0, 4)
        async with archiving(archived=False) as only_redis:
            assert await numbers_of(only_redis, LETTERS_URI) == [1, 3, 4, 5]
        assert await numbers_of(backbone, LETTERS_URI) == [*range(8)]
    assert (
        len(await redis.keys(f"{{{LETTERS}}}:payload:*")) == 6
    )  # those of the two lost entries were not lost with them


async def test_segments_that_have_nothing_to_restore_are_not_read(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """However long the history is."""
    async with archiving(segment_bytes=200, retention=NOTHING_BUT_NEEDED) as backbone:
        keys = [EventKey(PAST + hour * 60 * MINUTE) for hour in range(20)]
        for number, key in enumerate(keys):
            metadata = metadata_of(new_event_id()).replace(b"packed", b"sent").decode()
            await add_entry(redis, entry_id=key.entry_id, wire="1", metadata=metadata, arg_number=str(number))
        await redis.xgroup_create(LETTERS, GROUP, keys[16].entry_id)
        await redis.xgroup_create(LETTERS, "forgotten", "0-0")
        await redis.hset(f"{{{LETTERS}}}:group:forgotten", "forgotten", 1)
        await archive_all(backbone, LETTERS_URI)
        async with backbone.archiver(LETTERS_URI) as archiver:
            await eventually(lambda: archiver.ready)
        await redis.flushdb()
        before = len(s3.paths)
        report = await backbone.restore(LETTERS_URI)
        assert (report.archived, report.archive_only) == (3, 17)
        read = {path for path in s3.paths[before:] if path.endswith(".jsonl.zst")}
        async with archiving(archived=False) as only_redis:
            assert await numbers_of(only_redis, LETTERS_URI) == [17, 18, 19]
    assert len([path for path in s3.objects if path.endswith(".jsonl.zst")]) > 20
    assert len(read) < 10


NOW = EventKey(100 * MINUTE)
UNTIL = EventKey(99 * MINUTE, 3)


@pytest.mark.parametrize(
    ("position", "forgotten", "max_age", "start"),
    [
        (90, False, 5, EventKey(90 * MINUTE, 1)),
        (90, False, 20, EventKey(80 * MINUTE)),
        (90, True, 5, EventKey(95 * MINUTE)),
        (99, False, 0.1, EventKey(99 * MINUTE, 1)),
        (99, True, 0.1, UNTIL.successor()),
        (90, False, 1_000_000, EventKey(0)),
        (90, False, None, EventKey(0)),
    ],
)
async def test_where_the_restored_part_begins(
    position: int, forgotten: bool, max_age: float | None, start: EventKey
) -> None:
    """At the oldest event that is young enough, or that a group has not read, if that is earlier; in minutes.

    Earlier than that are only what groups that are not forgotten have pending, and what dead letters are about.
    """
    state = SavedGroup("group", EventKey(position * MINUTE), (EventKey(1), EventKey(98 * MINUTE)), forgotten)
    groups = [RestoredGroup(state, [SavedDeadLetter("3-0", EventKey(2), {})])]
    limits = RestoreLimits(None if max_age is None else timedelta(minutes=max_age))
    part = await restored_part(groups, MemoryStreams().stream(STREAM), UNTIL, limits, NOW.time)
    assert part.start == start
    wanted = [EventKey(2)] if forgotten else [EventKey(1), EventKey(2), EventKey(98 * MINUTE)]
    assert [*part.earlier] == [key for key in wanted if key < start]
