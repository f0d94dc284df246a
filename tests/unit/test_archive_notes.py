"""What the archiver notes in Redis."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.archive_notes import ArchiveNote, ArchiveNotes
from event_backbone.stream.redis.restoring import RedisRestoring
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.wire.keys import ARCHIVER_KEY
from tests.conformance.stream_suite import NAME, keys_of
from tests.support.restoring import KEEP, live_entry, restoring

ARCHIVE, ARCHIVER = NAME.key_of("archive"), NAME.key_of(ARCHIVER_KEY)
START = EventKey(0)


@pytest.fixture
def notes(connection: RedisConnection) -> ArchiveNotes:
    """The notes under test."""
    return ArchiveNotes(connection, NAME)


@pytest.fixture
async def keys(streams: RedisStreams) -> list[EventKey]:
    """The keys of five entries that are in the stream."""
    return keys_of(await streams.stream(NAME).append([live_entry() for _ in range(5)]))


async def test_nothing_is_noted_until_the_hash_is_created(notes: ArchiveNotes) -> None:
    """Reading, committing and beginning create no hash: that it is missing is evidence of a loss."""
    await notes.commit(EventKey(7), EventKey(3))
    assert await notes.begin(START, START) is False
    assert await notes.read() == ArchiveNote(None, None, None, None, START, exists=False)
    for _ in range(2):
        await notes.create()
        assert await notes.read() == ArchiveNote(START, START, None, None, START, exists=True)


async def test_what_is_noted_never_goes_back(notes: ArchiveNotes, keys: list[EventKey]) -> None:
    """Whoever is late; and creating it again changes nothing."""
    await notes.create()
    assert await notes.begin(keys[3], START) is True
    assert await notes.begin(keys[1], START) is True
    await notes.commit(keys[2], keys[0])
    await notes.commit(keys[1], START)
    await notes.create()
    assert await notes.read() == ArchiveNote(keys[2], keys[3], keys[0], None, keys[4], exists=True)
    await notes.commit(keys[4], keys[2])  # which nobody has begun
    assert (await notes.read()).committed == keys[2]
    assert await notes.begin(keys[4], keys[2]) is True
    await notes.commit(keys[4], keys[2])
    assert await notes.read() == ArchiveNote(keys[4], keys[4], keys[2], None, keys[4], exists=True)


async def test_a_segment_of_lost_events_is_not_begun(notes: ArchiveNotes, keys: list[EventKey]) -> None:
    """The newest entry there ever was decides, also when it is deleted; its successor was never in this stream."""
    await notes.create()
    assert await notes.begin(keys[-1].successor(), START) is False
    assert (await notes.read()).committing == START
    assert await notes.begin(keys[-1], START) is True


async def test_no_segment_is_begun_while_a_restore_is_under_way(
    notes: ArchiveNotes, keys: list[EventKey], connection: RedisConnection
) -> None:
    """It may give live entries other keys."""
    await notes.create()
    async with restoring(connection, NAME):
        assert await notes.begin(keys[0], START) is False
    assert await notes.begin(keys[0], START) is True


async def test_a_page_says_from_where_it_has_no_gaps(
    notes: ArchiveNotes, keys: list[EventKey], connection: RedisConnection
) -> None:
    """Entries after one key and before another, at most so many."""

    async def page(after: EventKey, end: EventKey | None, count: int = 10) -> list[EventKey]:
        return [entry.key for entry in (await notes.page(after, end, count))[0]]

    assert await page(keys[0], keys[3]) == keys[1:3]
    assert await page(START, None) == keys
    assert await page(keys[1], None, 2) == keys[2:4]
    assert await page(START, START) == await page(keys[2], keys[1]) == []
    assert (await notes.page(START, None, 1))[1:] == (None, False)
    await connection.command("HSET", ARCHIVE, "complete-from", keys[1].entry_id)
    assert (await notes.page(START, None, 1))[1:] == (keys[1], False)  # retention notes it without an archiver, too
    await notes.create()
    assert (await notes.page(START, None, 1))[1:] == (keys[1], True)
    assert (await notes.read()).complete_from == keys[1]


async def test_the_oldest_entry_after_a_key_tells_how_far_the_archive_lags(
    notes: ArchiveNotes, keys: list[EventKey]
) -> None:
    """None when there is none."""
    assert [await notes.oldest_after(each) for each in (START, *keys)] == [*keys, None]


async def test_one_archiver_works_at_a_time(connection: RedisConnection) -> None:
    """Until it lets go, which nobody else can do for it, or is silent for too long; renewing sets its time again."""
    a, b = (WorkLock(connection, NAME, ARCHIVER_KEY, token) for token in "ab")
    assert await a.hold(timedelta(minutes=1)) is True
    assert await b.hold(KEEP) is False
    await b.let_go()
    assert await a.hold(timedelta(minutes=9)) is True
    left = await connection.command("PTTL", ARCHIVER)
    assert isinstance(left, int)
    assert 500_000 < left <= 540_000
    await a.let_go()
    assert await b.hold(KEEP) is True


async def test_erased_events_are_noted_on_a_full_server(
    notes: ArchiveNotes, connection: RedisConnection, redis: Redis
) -> None:
    """Whole events and parts, more than one command takes; until each is forgotten."""
    whole, part = (EventKey(1, 2), None), (EventKey(1, 2), "redis-hash")
    many = [(EventKey(5, number), None) for number in range(2500)]
    await connection.command("CONFIG", "SET", "maxmemory", "1")
    try:
        for _ in range(2):
            await notes.note_erased([whole, part, *many])
            assert await notes.erased() == {whole, part, *many}
        await notes.forget_erased([whole, *many])
    finally:
        await connection.command("CONFIG", "SET", "maxmemory", "0")
    assert await notes.erased() == {part}
    assert await redis.smembers(NAME.key_of("erased")) == {b"1-2 redis-hash"}


async def test_other_data_under_a_key_is_one_sentence(notes: ArchiveNotes, connection: RedisConnection) -> None:
    """It is never overwritten."""
    await connection.command("SET", ARCHIVE, "other data")
    await connection.command("LPUSH", NAME.key_of("restore"), "other data")
    with pytest.raises(ConfigurationError, match=r"holds other data under a key of this stream; choose another URI"):
        await notes.read()
    with pytest.raises(ConfigurationError, match=r"holds other data under a key of this stream; choose another URI"):
        await RedisRestoring(connection, NAME).begin("token", KEEP)
