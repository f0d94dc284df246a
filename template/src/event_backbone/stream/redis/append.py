"""The append script: many events in one step, each once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from event_backbone.connection import RedisConnection, Script, error_prefix
from event_backbone.errors import StreamError, StreamUnavailable
from event_backbone.model import EventKey, StreamName, event_id_error
from event_backbone.stream.redis.entry_ids import ENTRY_ID
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.redis.script_message import milliseconds, packed
from event_backbone.stream.values import NewEntry
from event_backbone.wire.fields import INLINE_PREFIX
from event_backbone.wire.lua import with_names

_Refusal = tuple[bytes, *tuple[int, ...]]
"""An error's text; after ``CLOCK`` the server's time in milliseconds follows."""

_CLOCK = "CLOCK"
_SECOND_BYTES = 4  # of an event id; the next 12 bytes tell apart all ids of one second

# Appends the entry that begins at ``from`` of the message, and sets ``answer`` to its id, or to an error.
WRITE_ENTRY = """
answer = pcall('XADD', stream, '*', '$FORMAT_FIELD', '$WIRE_FORMAT', '$METADATA_FIELD', unpack(message, from, to))
if type(answer) == 'table' then
  answer = {answer.err}
  to = last
end
while to < last do
  local key, expires, fields = base .. message[to + 1], message[to + 2], to + 4
  to = to + 3 + message[to + 3]
  if message[fields] == '' then message[fields] = answer end
  local done = pcall('HSET', key, unpack(message, fields, to))
  if type(done) == 'table' then
    call('XDEL', stream, answer)
    answer = {done.err}
    to = last
  elseif expires > 0 then
    call('PEXPIRE', key, expires)
  end
end
"""

_APPEND_ENTRY = """
if now >= (second + 1) * 1000 + window or second * 1000 > now + window then
  answer = {'CLOCK', now}
else
  $WRITE_ENTRY
end
""".replace("$WRITE_ENTRY", WRITE_ENTRY)

# Writes something, which no full server refuses: WAIT counts only what its connection wrote. So what another connection
# appended before counts as replicated only if this write is.
_TOUCH = "call('PEXPIREAT', key, math.max(call('PEXPIRETIME', key), expires))"

APPEND = Script(
    with_names(
        """
-- Appends entries in order, each event id once, and writes their payload hashes with them.
-- KEYS: stream. Message, flat: deduplication window in milliseconds, number of events; for each event the second of its
-- id, and the rest of its id (12 bytes); then for each event how many items of it follow, and these: {metadata, more
-- fields of the entry and their values}, and writes. A write is the purpose of its key, after how many milliseconds it
-- expires (0: never), and {fields and their values}. {items} are their number, and the items. A first field without a
-- name gets the entry's id as its name.
-- Returns for each event its entry id, or an error: {text}, or {"CLOCK", the server's milliseconds} for an id outside
-- the window.
--
-- Keeps promise 2. The stream remembers each event id for as long as the id is accepted, in one hash for every second
-- of the ids' time. Both follow from the id itself and the server's clock, so no clock can open a gap between
-- forgetting and refusing. A field is what the second does not say of the id; its value is how many milliseconds after
-- the beginning of the second the entry was appended, and its sequence number unless that is 0 (decision 0007).
-- Keeps promise 1. XADD comes first because it is what may fail (out of memory, a replica); what follows a write of the
-- same script is not refused, except by a key of another type, and then the entry is taken back.
local stream = KEYS[1]
local base = '{' .. stream .. '}:'
local call, pcall, find, sub, unpack = redis.call, redis.pcall, string.find, string.sub, unpack
local message = cmsgpack.unpack(ARGV[1])
local window, events = message[1], message[2]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
$ENTRY_ID
-- One event needs none of the tables below: fast path, see decision 0005.
if events == 1 then
  local second, id, from, to, last, answer = message[3], message[4], 7, 6 + message[6], 5 + message[5]
  local key, expires = base .. '$SEEN_KEY:' .. second, (second + 2) * 1000 + window
  local known = call('HGET', key, id)
  if known then
    $TOUCH
    return {entry_id(second, known)}
  end
  $APPEND_ENTRY
  if type(answer) == 'string' then
    local length = find(answer, '-', 1, true)
    local after, sequence = sub(answer, 1, length - 1) - second * 1000, sub(answer, length)
    call('HSET', key, id, sequence == '-0' and after or after .. sequence)
    if call('PEXPIRETIME', key) < expires then call('PEXPIREAT', key, expires) end
  end
  return {answer}
end

local asked, seen, fresh = {}, {}, {}
for i = 3, 2 * events + 1, 2 do
  local ids = asked[message[i]]
  if ids then ids[#ids + 1] = message[i + 1] else asked[message[i]] = {message[i + 1]} end
end
for second, ids in pairs(asked) do
  local key, expires = base .. '$SEEN_KEY:' .. second, (second + 2) * 1000 + window
  local known, found = call('HMGET', key, unpack(ids)), {}
  for i, id in ipairs(ids) do
    if known[i] then found[id] = entry_id(second, known[i]) end
  end
  if next(found) then
    $TOUCH
  end
  seen[second], fresh[second] = found, {}
end

local answers, at = {}, 2 * events + 3
local time_of_second, entry_time, time_length, after
for i = 1, events do
  local second, id, from, last = message[2 * i + 1], message[2 * i + 2], at + 2, at + message[at]
  local to, answer = at + 1 + message[at + 1], seen[second][id]
  if not answer then
    $APPEND_ENTRY
    if type(answer) == 'string' then
      -- Entries of one call share their time, as a rule.
      if time_of_second ~= second or find(answer, entry_time, 1, true) ~= 1 then
        time_of_second, time_length = second, find(answer, '-', 1, true)
        entry_time = sub(answer, 1, time_length)
        after = (sub(answer, 1, time_length - 1) - second * 1000) .. ''
      end
      local ids, sequence = fresh[second], sub(answer, time_length)
      local n = #ids
      ids[n + 1], ids[n + 2] = id, sequence == '-0' and after or after .. sequence
      seen[second][id] = answer
    end
  end
  answers[i] = answer
  at = last + 1
end

for second, ids in pairs(fresh) do
  if ids[1] then
    local key, expires = base .. '$SEEN_KEY:' .. second, (second + 2) * 1000 + window
    call('HSET', key, unpack(ids))
    if call('PEXPIRETIME', key) < expires then call('PEXPIREAT', key, expires) end
  end
end
return answers
""".replace("$APPEND_ENTRY", _APPEND_ENTRY)
        .replace("$TOUCH", _TOUCH)
        .replace("$ENTRY_ID", ENTRY_ID)
    )
)


async def append(
    redis: RedisConnection, name: StreamName, entries: Sequence[NewEntry], window: timedelta, min_replicas: int = 0
) -> list[EventKey | StreamError]:
    """Run the script; after a lost answer it is run again, which changes nothing.

    A refusal after a lost answer raises the loss: the entry may be in the stream anyway. So does StreamUnavailable for
    fewer than ``min_replicas``.
    """
    message = packed(_message(window, entries))
    if min_replicas:
        reply = await _append_replicated(redis, name, message, min_replicas)
    else:
        reply = await redis.run_pipelined(APPEND, (name.key,), (message,), refuses=_refuses)
    results = cast("list[bytes | _Refusal]", reply)
    if any(text.startswith(b"READONLY") for text in _refused(reply)):
        await redis.forget_connections()
    partition = name.partition
    return [
        event_key(result, partition) if isinstance(result, bytes) else _error(entry, result, window)
        for entry, result in zip(entries, results, strict=True)
    ]


async def _append_replicated(redis: RedisConnection, name: StreamName, message: bytes, min_replicas: int) -> object:
    reply, replicas = await redis.run_replicated(
        APPEND, (name.key,), (message,), replicas=min_replicas, refuses=_refuses
    )
    if replicas < min_replicas and not _refuses(reply):
        raise StreamUnavailable(
            f"Only {replicas} of at least {min_replicas} replicas of Redis at {redis.settings.described} have the "
            "events; start more replicas, or lower min_replicas."
        )
    return reply


def _refuses(reply: object) -> bool:
    return bool(_refused(reply))


def _refused(reply: object) -> list[bytes]:
    """Return the errors in the reply."""
    return [result[0] for result in cast("list[bytes | _Refusal]", reply) if not isinstance(result, bytes)]


def _message(window: timedelta, entries: Sequence[NewEntry]) -> list[object]:
    """Return the script's message: flat, as lists in lists cost both sides (fast path, see decision 0005)."""
    ids: list[object] = [milliseconds(window), len(entries)]
    rest: list[object] = []
    for entry in entries:
        ids += id_parts(entry.event_id)
        items = entry_items(entry)
        rest.append(len(items))
        rest += items
    return ids + rest


def id_parts(event_id: UUID) -> tuple[int, bytes]:
    """Return the second of an event id, and the rest of it, as the script takes them."""
    number = event_id.int
    return (number >> 80) // 1000, number.to_bytes(16)[_SECOND_BYTES:]


def entry_items(entry: NewEntry) -> list[object]:
    """Return what the script takes of an entry: {metadata, more fields and their values}, and writes."""
    _, metadata, writes, inline = entry
    items: list[object] = [1 + 2 * len(inline), metadata]
    for name, value in inline.items():
        items += (INLINE_PREFIX + name, value)
    for purpose, fields, expires_after in writes:
        items += (purpose, 0 if expires_after is None else milliseconds(expires_after), 2 * len(fields))
        for field in fields.items():
            items += field
    return items


def _error(entry: NewEntry, refused: _Refusal, window: timedelta) -> StreamError:
    text, *rest = refused
    word = error_prefix(text.decode(errors="replace"))
    if word == _CLOCK:
        return event_id_error(entry.event_id, rest[0] / 1000, window)
    if word == "WRONGTYPE":
        return StreamError("Redis holds other data under a key of this event; choose another URI or environment.")
    return StreamUnavailable(f"Redis refuses to append for now ({word}).")
