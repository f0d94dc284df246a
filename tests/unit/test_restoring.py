"""Building a stream beside the live one."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError, StreamError, StreamUnavailable
from event_backbone.model import EventKey, HashWrite, new_event_id
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.restoring import LiveCopy, RedisRestoring, RestoredEntry
from tests.conformance.stream_suite import NAME, keys_of
from tests.support.keys import assert_no_leaked_keys
from tests.support.restoring import (
    AHEAD,
    KEEP,
    PAST,
    archived_entries,
    archived_entry,
    entries_in,
    event_id_of,
    events_in,
    live_entry,
    restoring,
)

RESTORING = NAME.key_of("restoring")
START = EventKey(0)


async def test_one_restore_is_under_way_at_a_time(connection: RedisConnection, redis: Redis) -> None:
    """Another one is told so, and every call without the lock raises; it changes nothing."""
    one, other = RedisRestoring(connection, NAME), RedisRestoring(connection, NAME)
    assert await one.begin("one", KEEP) is True
    assert await other.begin("other", KEEP) is False
    entries = archived_entries(2)
    for call in (
        other.renew(KEEP),
        other.remember([(new_event_id(), EventKey(PAST))], KEEP),
        other.add(entries),
        other.copy_live(START, 1),
        other.set_group("group", START, [], []),
        other.set_follow_ups("group", {START: ""}),
        other.swap(START, START),
    ):
        with pytest.raises(StreamError, match="restore or migration of stream test:shipments is under way") as caught:
            await call
        assert not isinstance(caught.value, StreamUnavailable)
    await other.end()
    await one.add(entries)
    await one.renew(timedelta(minutes=9))
    left = await connection.command("PTTL", NAME.key_of("restore"))
    assert isinstance(left, int)
    assert 500_000 < left <= 540_000
    assert await events_in(connection, RESTORING) == [(each.key, each.metadata) for each in entries]
    await one.end()
    assert await redis.keys() == []


async def test_what_an_earlier_restore_left_is_removed(
    connection: RedisConnection, streams: RedisStreams, redis: Redis
) -> None:
    """When the next one begins; its lock may have expired."""
    entries = archived_entries(3)
    await streams.stream(NAME).append([live_entry(event_id_of(entries[0].metadata))])
    one, other = RedisRestoring(connection, NAME), RedisRestoring(connection, NAME)
    await one.begin("one", KEEP)
    await one.remember([(event_id_of(each.metadata), each.key) for each in entries], KEEP)
    await one.add(entries)
    await one.copy_live(START, 10)
    await one.set_group("group", entries[2].key, [entries[0].key], [])
    await one.set_follow_ups("another group", {entries[0].key: "uri event label id\n"})
    await connection.command("DEL", NAME.key_of("restore"))
    assert await other.begin("other", KEEP) is True
    assert await events_in(connection, RESTORING) == []
    allowed = [NAME.key_of(each) for each in ("restore", "restoring:state")]
    await assert_no_leaked_keys(redis, allowed)
    with pytest.raises(StreamError, match="Another restore"):
        await one.add(entries)


async def test_entries_are_added_under_their_own_keys_with_their_payloads(
    connection: RedisConnection, redis: Redis
) -> None:
    """Hashes expire as asked; what was erased meanwhile stays erased, also inline; added again, nothing changes."""
    erased = HashWrite("payload:erased", {"a": b"1"})
    await connection.command("HSET", NAME.key_of(erased.purpose), "_erased", "1")
    await connection.command("SADD", NAME.key_of("tombstones"), EventKey(PAST + 3).entry_id)
    writes = HashWrite("payload:1", {"a": b"\x00\xff", "b": b""}), HashWrite("payload:x:1", {"c": b"2"}, KEEP)
    entries = [
        archived_entry(PAST, *writes),
        archived_entry(PAST + 1, erased),
        archived_entry(PAST + 2, payload={"e": b"1"}),
        archived_entry(PAST + 3, payload={"e": b"1"}),
        RestoredEntry(EventKey(PAST + 3, 2**64 - 1), b"not json"),
    ]
    async with restoring(connection, NAME) as restore:
        await restore.add([])
        await restore.add(entries[:2])
        for _ in range(2):
            await restore.add(entries[1:])
        kept = [each for each in entries if each is not entries[3]]
        assert await events_in(connection, RESTORING) == [(each.key, each.metadata) for each in kept]
        assert (await entries_in(connection, RESTORING))[2].fields == {
            b"wire": b"1",
            b"metadata": entries[2].metadata,
            b"arg:e": b"1",
        }
    assert await redis.hgetall(NAME.key_of("payload:1")) == {b"a": b"\x00\xff", b"b": b""}
    assert await redis.hgetall(NAME.key_of("payload:erased")) == {b"_erased": b"1"}
    assert 0 < await redis.pttl(NAME.key_of("payload:x:1")) <= 60_000


async def test_a_payload_that_is_refused_is_repaired_by_adding_again(connection: RedisConnection, redis: Redis) -> None:
    """Where Redis holds other data under a key: one sentence, and what comes after it is not added either."""
    entries = [archived_entry(PAST + each, HashWrite(f"payload:{each}", {"a": b"1"})) for each in range(3)]
    await connection.command("SET", NAME.key_of("payload:1"), "other data")
    async with restoring(connection, NAME) as restore:
        with pytest.raises(ConfigurationError, match="holds other data under a key of this stream"):
            await restore.add(entries)
        await connection.command("DEL", NAME.key_of("payload:1"))
        await restore.add(entries)
        assert [key for key, _ in await events_in(connection, RESTORING)] == [each.key for each in entries]
        assert await redis.hgetall(NAME.key_of("payload:1")) == {b"a": b"1"}


async def test_a_producer_that_repeats_a_call_gets_the_archived_key(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """Before and after the second of the event id, and whatever was remembered of it; no expiry is shortened."""
    stream, entries = streams.stream(NAME), [live_entry() for _ in range(3)]
    since = entries[0].event_id.int >> 80
    keys = [EventKey(since - 5000), EventKey(since + 5000, 7), EventKey(since, 2**53)]
    await stream.append(entries[:1])
    seen = NAME.key_of(f"seen:{since // 1000}")
    expires = await connection.command("PEXPIRETIME", seen)
    async with restoring(connection, NAME) as restore:
        await restore.remember([(each.event_id, key) for each, key in zip(entries, keys, strict=True)], KEEP)
        assert await connection.command("PEXPIRETIME", seen) == expires
        await restore.remember([(entries[0].event_id, keys[0])], timedelta(hours=1))
        left = await connection.command("PTTL", seen)
        assert isinstance(left, int)
        assert 3_500_000 < left <= 3_600_000
    assert keys_of(await stream.append(entries)) == keys
    assert len(await stream.range(None, None, 10)) == 1


@pytest.mark.parametrize("size", [1, 100])
async def test_live_entries_are_copied_once(connection: RedisConnection, streams: RedisStreams, size: int) -> None:
    """Not those of whose event another key is remembered, nor those that are restored; one at a time, or all."""
    archived = archived_entries(3)
    stream = streams.stream(NAME)
    restored_too, produced_again = (live_entry(event_id_of(archived[each].metadata)) for each in (0, 1))
    written_otherwise = f'{{"event":"packed","id":"{str(produced_again.event_id).upper()}"}}'.encode()
    produced_again = produced_again._replace(metadata=written_otherwise)
    await connection.command("XADD", NAME.key, archived[0].key.entry_id, *("wire", "1", "metadata"), restored_too[1])
    live = [produced_again, live_entry(), live_entry(payload={"a": b"1"})]
    keys = keys_of(await stream.append(live))
    await connection.command("XADD", NAME.key, "*", "foreign", "entry")
    async with restoring(connection, NAME) as restore:
        await restore.remember([(event_id_of(each.metadata), each.key) for each in archived[1:]], KEEP)
        await restore.add(archived)
        total, copy = [0, 0, 0], LiveCopy(0, 0, 0, more=True)
        while copy.more:
            copy = await restore.copy_live(START, size)
            total = [one + other for one, other in zip(total, (copy.copied, copy.skipped, copy.moved), strict=True)]
        assert total == [3, 2, 0]
        assert await restore.copy_live(START, 10) == LiveCopy(0, 0, 0, more=False)
        restored = await entries_in(connection, RESTORING)
    assert restored[3:] == (await entries_in(connection, NAME.key))[2:]
    assert [entry.key for entry in restored[3:5]] == keys[1:]


async def test_without_live_entries_there_is_nothing_to_copy(connection: RedisConnection) -> None:
    """The stream may be missing."""
    async with restoring(connection, NAME) as restore:
        assert await restore.copy_live(START, 10) == LiveCopy(0, 0, 0, more=False)


async def test_live_entries_whose_keys_are_too_low_get_the_next_ones(
    connection: RedisConnection, streams: RedisStreams
) -> None:
    """As after a failover to a server whose clock is behind; also when a restore before did not come to its end.

    What is remembered of their events follows, so that producers that repeat a call get the right key.
    """
    archived = archived_entries(2, AHEAD)
    stream, live = streams.stream(NAME), [live_entry(), live_entry()]
    await stream.append(live)
    for entries in (archived, archived_entries(3, AHEAD)):
        async with restoring(connection, NAME) as restore:
            await restore.add(entries)
            assert (await restore.copy_live(START, 10)).moved == 2
            last = entries[-1].key
            moved = [EventKey(last.milliseconds, 1), EventKey(last.milliseconds, 2)]
            expected = [(each.key, each.metadata) for each in entries]
            expected += [(key, each.metadata) for key, each in zip(moved, live, strict=True)]
            assert await events_in(connection, RESTORING) == expected
            assert keys_of(await stream.append(live)) == moved
    async with restoring(connection, NAME) as restore:  # this time they keep their keys, and producers get these again
        assert (await restore.copy_live(START, 10)).moved == 0
        assert keys_of(await stream.append(live)) == [entry.key for entry in await stream.range(None, None, 10)]
        assert await connection.command("EXISTS", NAME.key_of("restoring:moved")) == 0


@pytest.mark.parametrize(("live", "expected"), [("same", (0, 1, 0)), ("other", (1, 0, 1))])
async def test_entries_without_an_event_id_are_compared_by_their_fields(
    connection: RedisConnection, live: str, expected: tuple[int, int, int]
) -> None:
    """As another program may have written them."""
    key = EventKey(PAST)
    await connection.command("XADD", NAME.key, key.entry_id, "wire", "1", "metadata", live)
    async with restoring(connection, NAME) as restore:
        await restore.add([RestoredEntry(key, b"same")])
        copy = await restore.copy_live(START, 1)
        assert (copy.copied, copy.skipped, copy.moved) == expected


async def test_a_failover_that_loses_a_call_ends_the_restore(connection: RedisConnection) -> None:
    """Nothing is put into place with a gap."""
    async with restoring(connection, NAME) as restore:
        await restore.add(archived_entries(2))
        await connection.command("HSET", NAME.key_of("restoring:state"), "step", 0)  # as a replica has it that lags
        for call in (restore.add(archived_entries(2, PAST + 10)), restore.swap(START, START)):
            with pytest.raises(StreamError, match=r"Redis has lost a part .* run it again"):
                await call


async def test_a_full_server_refuses_what_makes_it_fuller(connection: RedisConnection, streams: RedisStreams) -> None:
    """Nothing is changed, and the same call goes on later. Beginning, swapping and ending make it emptier, and work."""
    entries = archived_entries(3)
    await streams.stream(NAME).append([live_entry()])
    restore = RedisRestoring(connection, NAME)
    await connection.command("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await restore.begin("token", KEEP) is True
        with pytest.raises(StreamUnavailable):
            await restore.add(entries)
        await connection.command("CONFIG", "SET", "maxmemory", "0")
        await restore.add(entries)
        await connection.command("CONFIG", "SET", "maxmemory", "1")
        for call in (restore.copy_live(START, 1), restore.remember([(new_event_id(), EventKey(PAST))], KEEP)):
            with pytest.raises(StreamUnavailable):
                await call
        assert await restore.swap(entries[-1].key, START)
        await restore.end()
    finally:
        await connection.command("CONFIG", "SET", "maxmemory", "0")
    assert len(await events_in(connection, NAME.key)) == 4
