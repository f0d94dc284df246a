"""What Redis runs to keep payloads in hashes: each script serves many keys of one stream in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Literal, cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.metadata import HashWrite, StreamName, payload_size_bytes

ERASED_FIELD = "_erased"
EMPTY_FIELD = "_empty"

_KEYS_A_CALL = 256
_CALL_BYTES = 4 * 1024 * 1024  # a script keeps everyone else waiting, so it ends after the hash that passes this size

# The keys travel as one prefix, whose hash tag puts them all in one slot, and one list of words: what a call costs is
# the number of its arguments.
_LOAD = Script("""
local found, size, limit = {}, 0, tonumber(ARGV[1])
for key in string.gmatch(ARGV[2], '%S+') do
  local fields = redis.pcall('HGETALL', KEYS[1] .. key)
  found[#found + 1] = fields
  for index = 2, #fields, 2 do size = size + #fields[index] end
  if size >= limit then break end
end
return found
""")

_STORE = Script("""
local function compare(key, fields)
  local kept = redis.pcall('HGETALL', key)
  local values = {}
  for index = 1, #kept, 2 do values[kept[index]] = kept[index + 1] end
  if values['_erased'] then return 'erased' end
  if #kept ~= #fields then return 'other' end
  for index = 1, #fields, 2 do
    if values[fields[index]] ~= fields[index + 1] then return 'other' end
  end
  return 'same'
end

local answers, position = {}, 1
for index, key in ipairs(KEYS) do
  local milliseconds, parts = tonumber(ARGV[position]), tonumber(ARGV[position + 1])
  local fields = {unpack(ARGV, position + 2, position + 1 + parts)}
  position = position + 2 + parts
  if redis.call('EXISTS', key) == 1 then
    answers[index] = compare(key, fields)
  else
    redis.call('HSET', key, unpack(fields))
    if milliseconds > 0 then redis.call('PEXPIRE', key, milliseconds) end
    answers[index] = 'stored'
  end
end
return answers
""")

_ERASE = Script("""
for _, key in ipairs(KEYS) do
  local milliseconds = redis.call('PTTL', key)
  if milliseconds == -2 then milliseconds = tonumber(ARGV[1]) end
  redis.call('DEL', key)
  redis.call('HSET', key, '_erased', '1')
  if milliseconds > 0 then redis.call('PEXPIRE', key, milliseconds) end
end
return #KEYS
""")

StoreAnswer = Literal["stored", "same", "other", "erased"]


async def load_hashes(connection: RedisConnection, prefix: str, keys: Sequence[str]) -> list[object]:
    """Return, for the hash of each key, names and values in turn (empty: no such hash), or the server's error.

    A key completes the prefix and holds no space. Takes as many calls as the size of the answers asks for. One call
    that returns plain nested lists is twice as fast as a pipeline of HGETALL, and as fast as one packed by cmsgpack.
    """
    found: list[object] = []
    while len(found) < len(keys):
        batch = keys[len(found) : len(found) + _KEYS_A_CALL]
        found += cast("list[object]", await connection.run(_LOAD, (prefix,), (_CALL_BYTES, " ".join(batch))))
    return found


async def store_hashes(
    connection: RedisConnection, stream: StreamName, writes: Sequence[HashWrite]
) -> list[StoreAnswer]:
    """Write hashes that do not exist; tell of the others whether they hold the same, other fields or a tombstone."""
    answers: list[StoreAnswer] = []
    for batch in _batches(writes):
        arguments = [argument for write in batch for argument in _arguments(write)]
        reply = await connection.run(_STORE, [stream.key_of(write.purpose) for write in batch], arguments)
        answers.extend(cast("StoreAnswer", answer.decode()) for answer in cast("list[bytes]", reply))
    return answers


async def erase_hashes(connection: RedisConnection, keys: Sequence[str], expires_after: timedelta | None) -> None:
    """Replace hashes by tombstones that live as long as the hash would have; ``expires_after`` is for missing ones."""
    for start in range(0, len(keys), _KEYS_A_CALL):
        await connection.run(_ERASE, keys[start : start + _KEYS_A_CALL], [_milliseconds(expires_after)])


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else max(1, duration // timedelta(milliseconds=1))


def _batches(writes: Sequence[HashWrite]) -> Iterator[list[HashWrite]]:
    batch: list[HashWrite] = []
    size_bytes = 0
    for write in writes:
        size_bytes += payload_size_bytes(write.fields)
        batch.append(write)
        if len(batch) == _KEYS_A_CALL or size_bytes >= _CALL_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _arguments(write: HashWrite) -> list[str | bytes | int]:
    parts = [part for field in write.fields.items() for part in field]
    return [_milliseconds(write.expires_after), len(parts), *parts]
