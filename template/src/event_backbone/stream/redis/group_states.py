"""Reads the state of all groups of a stream: one call, unless the server has lost count of what one has not read."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.model import StreamName
from event_backbone.stream.redis.moving_scripts import COUNT
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.values import GroupState
from event_backbone.wire.lua import with_names

_AT_ONCE = 1000  # of entries that a script counts: a millisecond or two, in which the server does nothing else

_GROUPS = Script(
    with_names("""
-- Reads the state of each group. KEYS: stream. ARGV: how many entries to count at most, groups that are returned also
-- if they do not exist, as they would be made at the beginning.
-- Returns {number of entries ever appended, rows}; each row is {name, 1 if it exists, consumers without the reserved
-- one, pending, unread, dead letters, id of the last delivered entry, parked, parked and due, milliseconds since the
-- oldest unread entry was appended (nil: none), the same of the oldest pending one, id of the last entry that was
-- counted (nil: unread is exact; else count on after it, or take unread for a bound), how many were counted, {looked,
-- forgotten, cut, cut-until, cut-at, skipped-after, skipped-until; each nil if it is not noted}}.
-- The server does not know what is unread of a group that was made at an entry in the middle, or that has deleted
-- entries ahead. Then it is counted: those before the group's place, else those after it.
local stream, most = KEYS[1], tonumber(ARGV[1])
local base = '{' .. stream .. '}:'
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function about(row)
  local named = {}
  for i = 1, #row, 2 do named[row[i]] = row[i + 1] end
  return named
end

local info, rows = redis.pcall('XINFO', 'STREAM', stream), {}
if info.err then
  if not string.find(info.err, 'no such key', 1, true) then return info end
  info = {length = 0, ['entries-added'] = 0}
else
  info, rows = about(info), redis.call('XINFO', 'GROUPS', stream)
end

local function age(id) return id and math.max(0, now - tonumber(string.match(id, '^%d+'))) end

local function first_id(found) return found[1] and found[1][1] end

local function unread_of(group)
  local after = group['last-delivered-id']
  local oldest = first_id(redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', 1))
  if not oldest then return 0 end
  if group['lag'] and group['lag'] > 0 then return math.min(group['lag'], info.length), oldest end
  local before = #redis.call('XRANGE', stream, '-', after, 'COUNT', most)
  if before < most then return info.length - before, oldest end
  local found = redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', most)
  if #found < most then return #found, oldest end
  local bound, read = info.length - before, group['entries-read']
  if read then bound = math.max(#found, math.min(bound, info['entries-added'] - read)) end
  return bound, oldest, found[#found][1], #found
end

local function consumers_of(group)
  local consumers = 0
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    if about(consumer)['name'] ~= '$WAITING_CONSUMER' then consumers = consumers + 1 end
  end
  return consumers
end

local answer, missing = {}, {}
for i = 2, #ARGV do missing[ARGV[i]] = true end

local function add(group, exists)
  local name, pending, consumers, parked, due, oldest = group['name'], group['pending'], 0, 0, 0, nil
  local unread, oldest_unread, counted, number = unread_of(group)
  if exists == 1 then
    consumers, parked = consumers_of(name), redis.call('ZCARD', base .. '$DUE_KEY:' .. name)
    if parked > 0 then due = redis.call('ZCOUNT', base .. '$DUE_KEY:' .. name, '-inf', now) end
    if pending > 0 then oldest = first_id(redis.call('XPENDING', stream, name, '-', '+', 1)) end
  end
  local dead = redis.call('XLEN', base .. '$DEAD_LETTERS_KEY:' .. name)
  local noted = redis.call('HMGET', base .. '$GROUP_KEY:' .. name,
    '$LOOKED_FIELD', '$FORGOTTEN_FIELD', '$CUT_FIELD', '$CUT_UNTIL_FIELD', '$CUT_AT_FIELD', '$SKIPPED_AFTER_FIELD',
    '$SKIPPED_UNTIL_FIELD')
  answer[#answer + 1] = {name, exists, consumers, pending, unread, dead, group['last-delivered-id'], parked, due,
    age(oldest_unread) or false, age(oldest) or false, counted or false, number or 0, noted}
end

for _, row in ipairs(rows) do
  local group = about(row)
  missing[group['name']] = nil
  add(group, 1)
end
for i = 2, #ARGV do
  if missing[ARGV[i]] then
    missing[ARGV[i]] = nil
    add({name = ARGV[i], pending = 0, lag = info.length, ['last-delivered-id'] = '0-0'}, 0)
  end
end
return {info['entries-added'], answer}
""")
)


class _Row(NamedTuple):
    """A row of the script's reply."""

    name: bytes
    exists: int
    consumers: int
    pending: int
    unread: int
    dead_letters: int
    last_delivered: bytes
    parked: int
    due: int
    oldest_unread: int | None
    oldest_pending: int | None
    counted_until: bytes | None
    counted: int
    noted: Sequence[bytes | None]


async def read_group_states(
    redis: RedisConnection, stream: StreamName, expected: Collection[str], most_counted: int
) -> list[GroupState]:
    """Return the state of each group, and of those that are expected and do not exist."""
    with redis.errors():
        reply = await redis.run(_GROUPS, (stream.key,), (min(_AT_ONCE, most_counted), *expected))
        added, rows = cast("tuple[int, list[Sequence[object]]]", tuple(cast("list[object]", reply)))
        states: list[GroupState] = []
        for each in rows:
            row = _Row(*each)  # type: ignore[arg-type]  # as the script says
            unread = row.unread if row.counted_until is None else await _count_on(redis, stream, row, most_counted)
            states.append(replace(_state(row, stream.partition), unread=unread, finished=added - unread - row.pending))
    return states


async def _count_on(redis: RedisConnection, stream: StreamName, row: _Row, most: int) -> int:
    """Count what the group has not read; when that is more than ``most``, return a bound."""
    last, number = row.counted_until, row.counted
    while number < min(most, row.unread):
        reply = await redis.run(COUNT, (stream.key,), (last or b"", "+", _AT_ONCE, row.name))
        last, some, _ = cast("tuple[bytes, int, int]", tuple(cast("list[object]", reply)))
        number += some
        if some < _AT_ONCE:
            return number
    return max(number, row.unread)


def _state(row: _Row, partition: int) -> GroupState:
    looked, forgotten, cut, cut_until, cut_at, skipped_after, skipped_until = row.noted
    return GroupState(
        row.name.decode(),
        row.consumers,
        row.pending,
        row.unread,
        row.dead_letters,
        event_key(row.last_delivered, partition),
        row.parked,
        due=row.due,
        oldest_unread=_age(row.oldest_unread),
        oldest_pending=_age(row.oldest_pending),
        exists=row.exists == 1,
        looked=_time(looked),
        forgotten=forgotten is not None,
        cut=int(cut or 0),
        cut_until=None if cut_until is None else event_key(cut_until, partition),
        cut_at=_time(cut_at),
        skipped_after=None if skipped_after is None else event_key(skipped_after, partition),
        skipped_until=None if skipped_until is None else event_key(skipped_until, partition),
    )


def _age(milliseconds: int | None) -> timedelta | None:
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)


def _time(milliseconds: bytes | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
