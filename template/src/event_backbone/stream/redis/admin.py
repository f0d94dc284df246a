"""What people do with a group on Redis from outside: see what is pending or dead-lettered, and redrive it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import EventNotFound
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.replies import entries_of, event_key
from event_backbone.stream.values import DeadLetter, Entry, PendingEntry
from event_backbone.wire.fields import (
    DEAD_LETTER_ATTEMPTS,
    DEAD_LETTER_DETAIL,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_PLACE,
    DEAD_LETTER_PREFIX,
    DEAD_LETTER_REASON,
    DEAD_LETTER_SOURCE,
)
from event_backbone.wire.keys import DEAD_LETTERS_KEY
from event_backbone.wire.lua import with_names

_PREFIX = DEAD_LETTER_PREFIX.encode()

_REDRIVE = Script(
    with_names("""
-- Parks the entry of a dead letter, due now and as if never delivered, and deletes the dead letter.
-- KEYS: stream. ARGV: group, id of the dead letter, id of its entry.
-- Returns 1; 0 when the dead letter is gone; -1 when the entry has left the stream, and then the dead letter stays.
-- Keeps promise 5: one step, so the event is neither lost nor delivered twice. An entry that the group has not read yet
-- (the group was created again meanwhile), or that is pending, will be delivered anyway and is not parked.
local stream, group, letter, source = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local base = '{' .. stream .. '}:'
local dead = base .. '$DEAD_LETTERS_KEY:' .. group
if #redis.call('XRANGE', dead, letter, letter) == 0 then return 0 end
if #redis.call('XRANGE', stream, source, source) == 0 then return -1 end
local pending = redis.call('XPENDING', stream, group, source, source, 1)
local read
for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  if about['name'] == group then
    read = #redis.call('XRANGE', stream, source, about['last-delivered-id'], 'COUNT', 1) == 1
  end
end
if read and #pending == 0 then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('XCLAIM', stream, group, '$WAITING_CONSUMER', 0, source, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
  redis.call('HDEL', base .. '$ATTEMPTS_KEY:' .. group, source)
  redis.call('ZADD', base .. '$DUE_KEY:' .. group, now, source)
end
redis.call('XDEL', dead, letter)
return 1
""")
)


class RedisGroupAdmin:
    """Implements ``stream.base.GroupAdmin``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str) -> None:
        """Administer this group."""
        self._redis = redis
        self._name = name
        self._group = group

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first."""
        if count < 1:
            return ()
        first = "-" if after is None else f"({after.entry_id}"
        with self._errors():
            reply = await self._redis.command("XPENDING", self._name.key, self._group, first, "+", count)
        rows = cast("list[tuple[bytes, bytes, int, int]]", reply)
        return [
            PendingEntry(
                event_key(entry_id, self._name.partition), consumer.decode(), timedelta(milliseconds=idle), attempt
            )
            for entry_id, consumer, idle, attempt in rows
        ]

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        if count < 1:
            return ()
        first = "-" if after is None else f"({EventKey.parse(after).entry_id}"
        with self._errors():
            reply = await self._redis.command("XRANGE", self._dead_key, first, "+", "COUNT", count)
        return [self._dead_letter(row) for row in entries_of(reply, 0)]

    async def redrive(self, dead_letter: DeadLetter) -> bool:
        """Deliver the event to this group again, as if for the first time, and remove the dead letter, in one step."""
        arguments = (self._group, dead_letter.id, dead_letter.entry.key.entry_id)
        with self._errors():
            done = await self._redis.run(_REDRIVE, (self._name.key,), arguments)
        if done == -1:
            raise EventNotFound(f"Event {dead_letter.entry.key} is no longer in stream {self._name.key}.")
        return done == 1

    @property
    def _dead_key(self) -> str:
        return self._name.key_of(f"{DEAD_LETTERS_KEY}:{self._group}")

    def _dead_letter(self, row: Entry) -> DeadLetter:
        about = {
            name.decode(): value.decode(errors="replace")
            for name, value in row.fields.items()
            if name.startswith(_PREFIX)
        }
        fields = {name: value for name, value in row.fields.items() if not name.startswith(_PREFIX)}
        return DeadLetter(
            id=row.key.entry_id,
            entry=Entry(event_key(about[DEAD_LETTER_SOURCE].encode(), self._name.partition), fields),
            reason=about[DEAD_LETTER_REASON],
            detail=about[DEAD_LETTER_DETAIL],
            error=about[DEAD_LETTER_ERROR],
            place=tuple(about[DEAD_LETTER_PLACE].splitlines()),
            attempts=int(about[DEAD_LETTER_ATTEMPTS]),
            failed_at=datetime.fromtimestamp(row.key.milliseconds / 1000, UTC),
        )

    def _errors(self) -> AbstractContextManager[None]:
        return self._redis.errors(group_missing=f"Stream {self._name.key} has no consumer group {self._group!r}.")
