"""The append script: many events in one step, each of them once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from event_backbone.connection import RedisConnection, Script, refusal
from event_backbone.errors import EventIdExpired, StreamError, StreamUnavailable
from event_backbone.metadata import EventKey, HashWrite, StreamName
from event_backbone.stream.base import NewEntry
from event_backbone.stream.redis.packing import packed
from event_backbone.stream.redis.replies import event_key

EXPIRED = "EXPIRED"

# The stream remembers each event id for as long as the id is accepted, in one hash for every second of the ids' time.
# Both follow from the id itself and the server's clock, so no clock can open a gap between forgetting and refusing.
# XADD comes first because it is what may fail (out of memory, a replica); what follows a write of the same script
# is not refused, except by a key of another type, and then the entry is taken back.
APPEND = Script("""
local stream = KEYS[1]
local base = '{' .. stream .. '}:'
local message = cmsgpack.unpack(ARGV[1])
local window, events = message[1], message[2]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local asked, seen, fresh = {}, {}, {}
for _, event in ipairs(events) do
  local ids = asked[event[1]]
  if ids then ids[#ids + 1] = event[2] else asked[event[1]] = {event[2]} end
end
for second, ids in pairs(asked) do
  local known = redis.call('HMGET', base .. 'seen:' .. second, unpack(ids))
  for i, id in ipairs(ids) do seen[id] = known[i] or nil end
end

local function append(event)
  if now >= (event[1] + 1) * 1000 + window then return {'EXPIRED'} end
  local entry = redis.pcall('XADD', stream, '*', 'wire', '1', 'metadata', event[3])
  if type(entry) == 'table' then return {entry.err} end
  for _, write in ipairs(event[4]) do
    local key = base .. write[1]
    local done = redis.pcall('HSET', key, unpack(write[3]))
    if type(done) == 'table' then
      redis.call('XDEL', stream, entry)
      return {done.err}
    end
    if write[2] > 0 then redis.call('PEXPIRE', key, write[2]) end
  end
  local ids = fresh[event[1]]
  if not ids then
    ids = {}
    fresh[event[1]] = ids
  end
  ids[#ids + 1] = event[2]
  ids[#ids + 1] = entry
  seen[event[2]] = entry
  return entry
end

local answers = {}
for i, event in ipairs(events) do answers[i] = seen[event[2]] or append(event) end

for second, ids in pairs(fresh) do
  local key, expires = base .. 'seen:' .. second, (second + 2) * 1000 + window
  redis.call('HSET', key, unpack(ids))
  redis.call('PEXPIREAT', key, expires, 'NX')
  redis.call('PEXPIREAT', key, expires, 'GT')
end
return answers
""")


async def append(
    redis: RedisConnection, name: StreamName, entries: Sequence[NewEntry], window: timedelta
) -> list[EventKey | StreamError]:
    """Run the script; a lost answer is asked for again, which changes nothing."""
    message = packed([_milliseconds(window), [_event(entry) for entry in entries]])
    reply = await redis.run_in_lane(APPEND, (name.key,), (message,))
    answers = cast("list[bytes | list[bytes]]", reply)
    if any(isinstance(answer, list) and answer[0].startswith(b"READONLY") for answer in answers):
        await redis.forget_connections()
    return [_answer(answer, name.partition, window) for answer in answers]


def _event(entry: NewEntry) -> tuple[int, bytes, bytes, list[tuple[str, int, list[str | bytes]]]]:
    return (
        _second_of(entry.event_id),
        entry.event_id.bytes,
        entry.metadata,
        [
            (write.purpose, 0 if write.expires_after is None else _milliseconds(write.expires_after), _flat(write))
            for write in entry.writes
        ],
    )


def _flat(write: HashWrite) -> list[str | bytes]:
    return [part for pair in write.fields.items() for part in pair]


def _second_of(event_id: UUID) -> int:
    return (event_id.int >> 80) // 1000


def _milliseconds(duration: timedelta) -> int:
    return max(1, duration // timedelta(milliseconds=1))


def _answer(answer: bytes | list[bytes], partition: int, window: timedelta) -> EventKey | StreamError:
    if isinstance(answer, bytes):
        return event_key(answer, partition)
    text = answer[0].decode(errors="replace")
    word = refusal(text)
    if word == EXPIRED:
        return EventIdExpired(f"The event id is older than {window}, the time in which a twin is recognised.")
    if word == "WRONGTYPE":
        return StreamError("Redis holds other data under a key of this event; choose another URI or environment.")
    return StreamUnavailable(f"Redis refuses to append for now ({word}).")
