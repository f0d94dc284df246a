"""The append script: many events in one step, each once."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import cast

from event_backbone.connection import RedisConnection, Script, error_prefix
from event_backbone.errors import StreamError, StreamUnavailable
from event_backbone.model import EventKey, StreamName, event_id_error
from event_backbone.stream.redis.replies import event_key
from event_backbone.stream.redis.script_message import milliseconds, packed
from event_backbone.stream.values import NewEntry
from event_backbone.wire.fields import INLINE_PREFIX
from event_backbone.wire.lua import with_names

_Refusal = tuple[bytes, *tuple[int, ...]]
"""An error's text; after ``CLOCK`` the server's time in milliseconds follows."""

_CLOCK = "CLOCK"
_SECOND_BYTES = 4  # of an event id; the next 12 bytes tell apart all ids of one second

APPEND = Script(
    with_names("""
-- Appends entries in order, each event id once, and writes their payload hashes with them.
-- KEYS: stream. Message: deduplication window in milliseconds, then for each event {second of its id, rest of its id
-- (12 bytes), metadata, writes}; a write is {purpose of the key, expires after milliseconds (0: never), field, value,
-- and so on}. An event without writes may have a list of more fields of its entry and their values instead of the
-- metadata alone: {metadata, field, value, and so on}.
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
local call, pcall, find, sub = redis.call, redis.pcall, string.find, string.sub
local message = cmsgpack.unpack(ARGV[1])
local window = message[1]
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local asked, seen, fresh = {}, {}, {}
for i = 2, #message do
  local event = message[i]
  local ids = asked[event[1]]
  if ids then ids[#ids + 1] = event[2] else asked[event[1]] = {event[2]} end
end
for second, ids in pairs(asked) do
  local known, found = call('HMGET', base .. '$SEEN_KEY:' .. second, unpack(ids)), {}
  for i, id in ipairs(ids) do
    if known[i] then
      local after, sequence = string.match(known[i], '^(-?%d+)-?(%d*)$$')
      if sequence == '' then sequence = '0' end
      found[id] = string.format('%.0f-%s', second * 1000 + after, sequence)
    end
  end
  seen[second] = found
end

local time_of_second, entry_time, time_length, after
local function append(event)
  local second, id = event[1], event[2]
  if now >= (second + 1) * 1000 + window or second * 1000 > now + window then return {'CLOCK', now} end
  local metadata, entry = event[3], nil
  if type(metadata) == 'table' then
    entry = pcall('XADD', stream, '*', '$FORMAT_FIELD', '$WIRE_FORMAT', '$METADATA_FIELD', unpack(metadata))
  else
    entry = pcall('XADD', stream, '*', '$FORMAT_FIELD', '$WIRE_FORMAT', '$METADATA_FIELD', metadata)
  end
  if type(entry) == 'table' then return {entry.err} end
  for i = 4, #event do
    local write = event[i]
    local key = base .. write[1]
    local done = pcall('HSET', key, unpack(write, 3))
    if type(done) == 'table' then
      call('XDEL', stream, entry)
      return {done.err}
    end
    if write[2] > 0 then call('PEXPIRE', key, write[2]) end
  end
  local ids = fresh[second]
  if not ids then
    ids = {}
    fresh[second] = ids
  end
  -- Entries of one call share their time, as a rule.
  if time_of_second ~= second or sub(entry, 1, time_length) ~= entry_time then
    time_of_second, time_length = second, find(entry, '-', 1, true) - 1
    entry_time = sub(entry, 1, time_length)
    after = (entry_time - second * 1000) .. ''
  end
  local sequence = sub(entry, time_length + 1)
  local n = #ids
  ids[n + 1] = id
  ids[n + 2] = sequence == '-0' and after or after .. sequence
  seen[second][id] = entry
  return entry
end

local answers = {}
for i = 2, #message do
  local event = message[i]
  answers[i - 1] = seen[event[1]][event[2]] or append(event)
end

for second, ids in pairs(fresh) do
  local key, expires = base .. '$SEEN_KEY:' .. second, (second + 2) * 1000 + window
  call('HSET', key, unpack(ids))
  if call('PEXPIRETIME', key) < expires then call('PEXPIREAT', key, expires) end
end
return answers
""")
)


async def append(
    redis: RedisConnection, name: StreamName, entries: Sequence[NewEntry], window: timedelta
) -> list[EventKey | StreamError]:
    """Run the script; after a lost answer it is run again, which changes nothing.

    A error_prefix after a lost answer raises the loss: the entry may be in the stream anyway.
    """
    message = packed([milliseconds(window), *map(_event, entries)])
    reply = await redis.run_pipelined(APPEND, (name.key,), (message,), refuses=lambda reply: bool(_refused(reply)))
    results = cast("list[bytes | _Refusal]", reply)
    if any(text.startswith(b"READONLY") for text in _refused(reply)):
        await redis.forget_connections()
    partition = name.partition
    return [
        event_key(result, partition) if isinstance(result, bytes) else _error(entry, result, window)
        for entry, result in zip(entries, results, strict=True)
    ]


def _refused(reply: object) -> list[bytes]:
    """Return the errors in the reply."""
    return [result[0] for result in cast("list[bytes | _Refusal]", reply) if not isinstance(result, bytes)]


def _event(entry: NewEntry) -> list[object]:
    number = entry.event_id.int
    event: list[object] = [(number >> 80) // 1000, number.to_bytes(16)[_SECOND_BYTES:], entry.metadata]
    if entry.inline:
        event[2] = [entry.metadata, *chain.from_iterable((INLINE_PREFIX + k, v) for k, v in entry.inline.items())]
    for write in entry.writes:
        expires = 0 if write.expires_after is None else milliseconds(write.expires_after)
        event.append([write.purpose, expires, *chain.from_iterable(write.fields.items())])
    return event


def _error(entry: NewEntry, refused: _Refusal, window: timedelta) -> StreamError:
    text, *rest = refused
    word = error_prefix(text.decode(errors="replace"))
    if word == _CLOCK:
        return event_id_error(entry.event_id, rest[0] / 1000, window)
    if word == "WRONGTYPE":
        return StreamError("Redis holds other data under a key of this event; choose another URI or environment.")
    return StreamUnavailable(f"Redis refuses to append for now ({word}).")
