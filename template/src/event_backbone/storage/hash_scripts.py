"""What Redis runs to keep payloads in hashes: one script call serves many keys of one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import cast

from hiredis import ReplyError

from event_backbone.connection import RedisConnection, Script
from event_backbone.model import HashWrite, StreamName, payload_size_bytes
from event_backbone.wire.lua import with_names

_KEYS_A_CALL = 256
_SAMPLES = 8
_CALL_BYTES = 4 * 1024 * 1024  # a script blocks all other clients, so it ends after the hash that exceeds this size

_STORE = Script(
    with_names("""
-- Writes hashes that do not exist.
-- KEYS: the hashes. ARGV, for each: expires after milliseconds (0: never), how many parts follow, field, value, ...
-- Keeps promises 2 and 6: what was saved or erased under an id is never overwritten.
local position = 1
for _, key in ipairs(KEYS) do
  local milliseconds, parts = tonumber(ARGV[position]), tonumber(ARGV[position + 1])
  local fields = {unpack(ARGV, position + 2, position + 1 + parts)}
  position = position + 2 + parts
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, unpack(fields))
    if milliseconds > 0 then redis.call('PEXPIRE', key, milliseconds) end
  end
end
""")
)

_ERASE = Script(
    with_names("""
-- Replaces hashes by tombstones that live as long as the hash would have.
-- KEYS: the hashes. ARGV: after how many milliseconds a tombstone without a hash expires (0: never).
-- Returns how many there are. Keeps promise 6: an erased payload is known as erased, and cannot be saved again.
for _, key in ipairs(KEYS) do
  local milliseconds = redis.call('PTTL', key)
  if milliseconds == -2 then milliseconds = tonumber(ARGV[1]) end
  redis.call('DEL', key)
  redis.call('HSET', key, '$ERASED_FIELD', '1')
  if milliseconds > 0 then redis.call('PEXPIRE', key, milliseconds) end
end
return #KEYS
""")
)


HashReply = list[bytes] | Exception
"""A hash as names and values in turn, empty if there is none; or the server's error of a key of another type."""


async def load_hashes(connection: RedisConnection, keys: Sequence[str]) -> list[HashReply]:
    """Return what is under each key.

    Many HGETALL in one write rather than one script: fast path, see decision 0010.
    """
    replies = cast("list[HashReply]", await connection.read_each("HGETALL", keys))
    for position, reply in enumerate(replies):
        if isinstance(reply, ReplyError) and not str(reply).startswith("WRONGTYPE"):
            replies[position] = cast("HashReply", await connection.command("HGETALL", keys[position]))
    return replies


def hashes_a_call(typical_bytes: int) -> int:
    """Return how many hashes of this size to load at once, so that replies do not pile up in the server."""
    return max(1, min(_KEYS_A_CALL, _CALL_BYTES // max(typical_bytes, 1)))


def typical_size_bytes(hashes: Sequence[HashReply]) -> int:
    """Return the size of the largest of a few of these hashes, as a guess for the next ones."""
    some = hashes[:: len(hashes) // _SAMPLES + 1]
    return max((sum(map(len, each)) for each in some if isinstance(each, list)), default=0)


async def store_hashes(connection: RedisConnection, stream: StreamName, writes: Sequence[HashWrite]) -> None:
    """Write hashes that do not exist, tombstones included."""
    for batch in _batches(writes):
        arguments = [argument for write in batch for argument in _arguments(write)]
        keys = [stream.key_of(write.purpose) for write in batch]
        await connection.run(_STORE, keys, arguments, names_all_keys=True)


async def erase_hashes(connection: RedisConnection, keys: Sequence[str], expires_after: timedelta | None) -> None:
    """Replace hashes by tombstones that live as long as the hash would have; ``expires_after`` is for missing ones."""
    for start in range(0, len(keys), _KEYS_A_CALL):
        some = keys[start : start + _KEYS_A_CALL]
        await connection.run(_ERASE, some, [_milliseconds(expires_after)], names_all_keys=True)


async def remove_hashes(connection: RedisConnection, keys: Sequence[str]) -> int:
    """Delete hashes, tombstones included; return how many there were."""
    removed = 0
    for start in range(0, len(keys), _KEYS_A_CALL):
        removed += cast("int", await connection.command("UNLINK", *keys[start : start + _KEYS_A_CALL]))
    return removed


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
