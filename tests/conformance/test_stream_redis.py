"""The stream on Redis passes the suite of all streams."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import StreamError
from event_backbone.model import EventKey, HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from tests.conformance.stream_append import AppendSuite
from tests.conformance.stream_dead_letters import DeadLetterSuite
from tests.conformance.stream_follow_ups import FOLLOW_UP, FollowUpSuite
from tests.conformance.stream_groups import GroupSuite
from tests.conformance.stream_inline import InlineSuite
from tests.conformance.stream_leases import LeaseSuite
from tests.conformance.stream_looks import LookSuite
from tests.conformance.stream_marks import MarkSuite
from tests.conformance.stream_moves import MoveSuite
from tests.conformance.stream_rows import RowSuite
from tests.conformance.stream_states import StateSuite
from tests.conformance.stream_suite import (
    GROUP,
    LETTER,
    NAME,
    NO_WAIT,
    Rig,
    keys_of,
    lease_of,
    leases_of,
    new_entry,
    numbers,
    settled,
)
from tests.support.keys import assert_no_leaked_keys

pytestmark = pytest.mark.topologies(always=True)

MILLISECOND = timedelta(milliseconds=1)
MEMBERS, DUE, NOTES, STATE = (NAME.key_of(f"{kind}:{GROUP}") for kind in ("members", "due", "attempts", "group"))

# A server's clock cannot be moved. So every time that is kept moves the other way, which looks the same from inside.
SHIFT = """
local stream, members, due, state = unpack(KEYS)
local group, by = ARGV[1], tonumber(ARGV[2])
for _, key in ipairs({members, due}) do
  local found = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do redis.call('ZADD', key, found[i + 1] - by, found[i]) end
end
for _, name in ipairs({'looked', 'hold', 'swept'}) do
  local value = redis.call('HGET', state, name)
  if value then redis.call('HSET', state, name, string.format('%d', value - by)) end
end
local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1000)
for _, row in ipairs(pending.err and {} or pending) do
  local id, consumer, idle, count = unpack(row)
  if redis.call('XRANGE', stream, id, id)[1] then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', math.max(0, idle + by), 'RETRYCOUNT', count, 'JUSTID')
  end
end
"""


class RedisRig(Rig):
    """Lets time pass by moving every time that is kept, and removes things as an administrator would."""

    def __init__(self, connection: RedisConnection) -> None:
        """Work on this server."""
        self.connection = connection
        self.streams = RedisStreams(connection)
        self._passed = 0

    async def pass_time(self, by: timedelta) -> None:
        """Move every time that is kept the other way."""
        milliseconds = by // MILLISECOND
        self._passed += milliseconds
        await self.connection.command("EVAL", SHIFT, 4, NAME.key, MEMBERS, DUE, STATE, GROUP, milliseconds)

    async def rows(self) -> Mapping[str, int]:
        """Return when each member's lease ends."""
        found = cast("list[bytes]", await self.connection.command("ZRANGE", MEMBERS, 0, -1, "WITHSCORES"))
        return {name.decode(): int(end) + self._passed for name, end in zip(found[::2], found[1::2], strict=True)}

    async def remove_rows(self) -> None:
        """Delete all rows."""
        await self.connection.command("DEL", MEMBERS)

    async def set_due(self, key: EventKey, after: timedelta | None) -> None:
        """Set or (None) delete the due time of an entry, whichever member has it."""
        if after is None:
            await self.connection.command("ZREM", DUE, key.entry_id)
            return
        seconds, microseconds = cast("list[bytes]", await self.connection.command("TIME"))
        now = int(seconds) * 1000 + int(microseconds) // 1000
        await self.connection.command("ZADD", DUE, now + after // MILLISECOND, key.entry_id)

    async def set_note(self, key: EventKey, note: str) -> None:
        """Write a note of an entry's attempts."""
        await self.connection.command("HSET", NOTES, key.entry_id, note)

    async def has_note(self, key: EventKey) -> bool:
        """Return whether anything is noted of an entry's attempts."""
        return await self.connection.command("HEXISTS", NOTES, key.entry_id) == 1

    async def remove_pending(self, key: EventKey) -> None:
        """Ack an entry by the server's own command."""
        await self.connection.command("XACK", NAME.key, GROUP, key.entry_id)

    async def hash_at(self, purpose: str) -> Mapping[str, bytes]:
        """Return the hash that was written with an entry."""
        found = cast("list[bytes]", await self.connection.command("HGETALL", NAME.key_of(purpose)))
        return {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}

    async def kept_follow_ups(self) -> set[EventKey]:
        """Return the entries of whose follow-up events something is kept."""
        return {EventKey.parse(entry) for entry in await self.hash_at(f"once:{GROUP}")}

    async def keys_of_group(self) -> list[str]:
        """Return the keys of the group."""
        found = cast("list[bytes]", await self.connection.command("KEYS", f"*:{GROUP}"))
        return [each.decode() for each in found]

    async def remove_entry(self, key: EventKey) -> None:
        """Delete an entry, wherever it is pending."""
        await self.connection.command("XDEL", NAME.key, key.entry_id)

    async def remove_stream(self) -> None:
        """Delete the stream and with it its groups."""
        await self.connection.command("DEL", NAME.key)

    async def remove_group(self) -> None:
        """Delete the group."""
        await self.connection.command("XGROUP", "DESTROY", NAME.key, GROUP)


@pytest.fixture
async def rig(redis_url: str) -> AsyncIterator[RedisRig]:
    """The implementation under test."""
    rig = RedisRig(RedisConnection(RedisSettings.parse(redis_url)))
    yield rig
    await rig.streams.close()


class TestRedisAppend(AppendSuite):
    """Appending and reading without a group."""

    @pytest.mark.parametrize("others", [0, 1])
    async def test_an_entry_whose_hash_is_refused_is_taken_back(self, rig: RedisRig, others: int) -> None:
        """Where Redis holds other data under a key: alone and among others; it may be retried."""
        stream, key = rig.streams.stream(NAME), NAME.key_of("payload:1")
        before, after = ([new_entry() for _ in range(others)] for _ in range(2))
        refused = new_entry("m", HashWrite("payload:0", {"a": b"1"}), HashWrite("payload:1", {"a": b"1"}))
        await rig.connection.command("SET", key, "other data")
        answers = await stream.append([*before, refused, *after])
        assert [type(answer) for answer in answers] == [*[EventKey] * others, StreamError, *[EventKey] * others]
        assert len(await stream.range(None, None, 10)) == 2 * others
        await rig.connection.command("DEL", key)
        assert len(keys_of(await stream.append([refused]))) == 1
        assert await rig.hash_at("payload:1") == {"a": b"1"}


class TestRedisInline(InlineSuite):
    """Payloads in entries, and erasing them."""


class TestRedisGroups(GroupSuite):
    """Reading by consumer groups."""


class TestRedisLooks(LookSuite):
    """What a look takes over."""


class TestRedisRows(RowSuite):
    """Rows, holds and clocks."""


class TestRedisLeases(LeaseSuite):
    """Acting on what was delivered."""


class TestRedisMarks(MarkSuite):
    """Ends while running alone."""


class TestRedisDeadLetters(DeadLetterSuite):
    """What a group dead-letters."""

    async def test_a_dead_letter_of_another_program_can_be_discarded(self, rig: RedisRig) -> None:
        """Whatever it leaves out; it does not hide the others."""
        await rig.connection.command("XADD", NAME.key_of(f"dead:{GROUP}"), "*", "foreign", "entry")
        admin = rig.streams.group_admin(NAME, GROUP)
        [letter] = await admin.dead_letters(None, 10)
        assert (letter.entry.key, letter.entry.fields, letter.reason) == (EventKey(0), {b"foreign": b"entry"}, "")
        assert await admin.discard([letter]) == 1
        assert await admin.newest_dead_letter() is None


class TestRedisStates(StateSuite):
    """How far a group is."""


class TestRedisMoves(MoveSuite):
    """Moving and deleting a group."""


class TestRedisFollowUps(FollowUpSuite):
    """What is produced once."""


class TestRedisKeys:
    """What is left in Redis."""

    @pytest.mark.parametrize("others", [0, 1])
    async def test_event_ids_are_remembered_for_their_window_and_no_longer(self, rig: RedisRig, others: int) -> None:
        """One hash for each second of the ids' time, which expires when ids of that second begin to be refused."""
        entry = new_entry()
        await rig.streams.stream(NAME).append([entry, *(new_entry() for _ in range(others))])
        second = (entry.event_id.int >> 80) // 1000
        expires = await rig.connection.command("PEXPIRETIME", NAME.key_of(f"seen:{second}"))
        assert expires == (second + 2) * 1000 + 600_000

    async def test_a_hash_expires_as_its_storage_asked(self, rig: RedisRig) -> None:
        """Counted from the append; without an expiry it stays."""
        writes = (HashWrite("payload:1", {"a": b"1"}, timedelta(minutes=5)), HashWrite("payload:2", {"a": b"1"}))
        await rig.streams.stream(NAME).append([new_entry("m", *writes)])
        left = await rig.connection.command("PTTL", NAME.key_of("payload:1"))
        assert isinstance(left, int)
        assert 290_000 < left <= 300_000
        assert await rig.connection.command("PTTL", NAME.key_of("payload:2")) == -1

    async def test_no_key_is_left_behind(self, rig: RedisRig, redis: Redis) -> None:
        """Whatever happened to the events, what remains when all members have left is a stream or expires."""
        await rig.produce(8)
        await rig.streams.stream(NAME).reserve("token", "digest", new_entry().event_id, timedelta(minutes=1))
        one, two = await settled(rig, "one", "two")
        for delivery in await one.read():  # every entry with a note, and a second delivery
            await one.leases.park(lease_of(delivery), NO_WAIT)
        taken = leases_of(await one.take())
        for lease in taken[:-1]:  # all but the dead letter, which would keep it
            await one.leases.reserve_follow_up(lease, FOLLOW_UP, new_entry().event_id)
        acked, released, *gone, left, unmarked, given_up = taken
        await one.leases.mark_alone(unmarked)
        await one.leases.unmark_alone(unmarked)
        for lease in gone:
            await rig.remove_entry(lease.key)
        assert await one.leases.park(gone[0], NO_WAIT) == "vanished"
        await one.leases.release([gone[1], released])
        assert (await one.reader.compare([acked, given_up, left, unmarked])).vanished == (gone[2].key,)
        await one.leases.ack([acked, unmarked])
        await one.leases.dead_letter(given_up, LETTER)
        await rig.remove_entry(left.key)
        await one.reader.leave()
        look = await two.look()
        assert look.vanished == (left.key,)
        await two.leases.ack(leases_of(look.deliveries))
        await two.reader.leave()
        await assert_no_leaked_keys(redis, allowed=[STATE])


class TestRedisAtLength:
    """What a look finds among very many pending entries."""

    async def test_one_dead_member_of_200_is_found_among_10_000_pending(self, rig: RedisRig) -> None:
        """All of its entries are taken within a few looks of the others, and nothing else is."""
        await rig.produce(10_000)
        [*living, dead] = await settled(rig, *(f"member-{number}" for number in range(200)))
        for member in living:
            await member.read(50)
            await member.look(0)  # time really passes here, and five seconds without a look would make the group hold
        left = numbers(await dead.read(50))
        await dead.reader.leave()
        taken: list[int] = []
        for member in living[:5]:
            taken += numbers(await member.take(50))
        assert taken == left
        assert (await rig.state()).consumers == 199

    async def test_fresh_entries_of_living_members_do_not_hide_those_of_a_dead_one(self, rig: RedisRig) -> None:
        """One look finds them behind 100,000 that are older."""
        fill = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'wire', '1', 'metadata', i) end"
        await rig.connection.command("EVAL", fill, 1, NAME.key, 100_001)
        one, two, dead = await settled(rig, "one", "two", "dead")
        for member in (one, two):
            for _ in range(50):
                await member.read(1000)
                await member.look(0)
        [left] = await dead.read()
        await dead.reader.leave()
        look = await two.look()
        assert ([each.entry.key for each in look.deliveries], look.more) == ([left.entry.key], False)
