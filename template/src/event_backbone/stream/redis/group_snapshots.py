"""What the archive keeps of consumer groups: where each one is, and what it has not finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis.replies import event_key, texts
from event_backbone.wire.lua import with_names

_NAMES = Script("""
-- Returns the names of the stream's groups; none without the stream. KEYS: stream.
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
local names = {}
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  for i = 1, #row, 2 do
    if row[i] == 'name' then names[#names + 1] = row[i + 1] end
  end
end
return names
""")

_TAKE = Script(
    with_names("""
-- Reads where a group is, at one moment. KEYS: stream. ARGV: group, how many pending ids and redriven entries at most.
-- Returns {id of the last delivered entry, ids of pending entries, id of the newest dead letter (nil: none), number of
-- dead letters, 1 if retention has forgotten the group, else 0, redriven entries that are not finished (each id, then
-- that of its event's own entry)}; nil without the group.
local group, position = ARGV[1], nil
if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  if about['name'] == group then position = about['last-delivered-id'] end
end
if not position then return nil end
local pending = redis.call('XPENDING', KEYS[1], group, '-', '+', ARGV[2])
for i, row in ipairs(pending) do pending[i] = row[1] end
local base = '{' .. KEYS[1] .. '}:'
local dead = base .. '$DEAD_LETTERS_KEY:' .. group
local newest = redis.call('XREVRANGE', dead, '+', '-', 'COUNT', 1)[1]
local forgotten = redis.call('HEXISTS', base .. '$GROUP_KEY:' .. group, '$FORGOTTEN_FIELD')
local redriven = redis.call('HRANDFIELD', base .. '$REDRIVEN_KEY:' .. group, ARGV[2], 'WITHVALUES')
return {position, pending, newest and newest[1] or false, redis.call('XLEN', dead), forgotten, redriven}
""")
)


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """Where a group is.

    Attributes:
        name: the group.
        position: all entries up to it were delivered; those after it were not, or are delivered again after a restore.
        pending: the keys up to ``position`` that are not finished, in order; parked ones are among them. So are events
            that were redriven from the archive, by their own keys, read or not.
        newest_dead_letter: the id of the newest dead letter; None without any.
        dead_letters: how many there are. Together with the newest one it changes whenever a dead letter comes or goes.
        forgotten: whether retention has forgotten it: it keeps no events for it any more.
    """

    name: str
    position: EventKey
    pending: tuple[EventKey, ...]
    newest_dead_letter: str | None
    dead_letters: int
    forgotten: bool = False


class GroupSnapshots:
    """Takes snapshots of all groups of one stream."""

    def __init__(self, redis: RedisConnection, name: StreamName) -> None:
        """Take them of this stream, which need not exist."""
        self._redis = redis
        self._name = name

    async def take(self, most_pending: int = 10_000) -> Sequence[GroupSnapshot]:
        """Return a snapshot of each group, by name; each is of one moment, but not all are of the same.

        Of a group with more than ``most_pending`` pending entries the first ones are kept, and the position moves back
        to just before the first that is left out; of redriven ones as many are kept. May be called at any time; raises
        StreamUnavailable in outages.
        """
        with self._redis.errors():
            names = texts(await self._redis.run(_NAMES, (self._name.key,), ()))
        taken = [await self._take(name.decode(), most_pending) for name in sorted(names)]
        return [each for each in taken if each is not None]

    async def _take(self, group: str, most_pending: int) -> GroupSnapshot | None:
        with self._redis.errors():
            reply = await self._redis.run(_TAKE, (self._name.key,), (group, most_pending + 1))
        if reply is None:  # it was destroyed meanwhile
            return None
        delivered, pending, newest, dead, forgotten, redriven = cast(
            "tuple[bytes, list[bytes], bytes | None, int, int, list[bytes]]", reply
        )
        events = dict(zip(map(self._key, redriven[::2]), map(self._key, redriven[1::2]), strict=True))
        keys, position = list(map(self._key, pending)), self._key(delivered)
        for left_out in keys[most_pending:]:
            position = min(position, left_out.predecessor())
        kept = {key for key in keys[:most_pending] if key not in events} | set(events.values())
        newest_id = None if newest is None else newest.decode()
        return GroupSnapshot(group, position, tuple(sorted(kept)), newest_id, dead, forgotten=forgotten == 1)

    def _key(self, entry_id: bytes) -> EventKey:
        return event_key(entry_id, self._name.partition)
