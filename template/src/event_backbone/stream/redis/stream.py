"""One stream on Redis: appending and reading without a group."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import cast
from uuid import UUID

from event_backbone.connection import LONGEST_WAIT, RedisConnection, Script
from event_backbone.errors import StreamError
from event_backbone.model import EventKey, StreamName, keys_near
from event_backbone.stream.redis.append import append
from event_backbone.stream.redis.group_states import read_group_states
from event_backbone.stream.redis.replies import entries_of, entries_read, event_key
from event_backbone.stream.redis.script_message import milliseconds
from event_backbone.stream.redis.tombstones import ERASE
from event_backbone.stream.values import MOST_COUNTED, Entry, GroupState, NewEntry, Reservation
from event_backbone.wire import has_event_id
from event_backbone.wire.fields import COMPLETE_FROM_FIELD
from event_backbone.wire.keys import ARCHIVE_KEY, TOKEN_KEY, TOMBSTONES_KEY

_START = EventKey(0)
_SEARCHED_AT_ONCE = 1000

_LAST_KEY = Script("""
-- Returns the id of the newest entry there ever was; "0-0" when there was none. KEYS: stream.
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then
  if string.find(info.err, 'no such key', 1, true) then return '0-0' end
  return info
end
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then return info[i + 1] end
end
""")


class RedisStream:
    """Implements ``stream.base.Stream``."""

    def __init__(
        self, redis: RedisConnection, name: StreamName, deduplicate_for: timedelta, min_replicas: int = 0
    ) -> None:
        """Open the stream of this name, which need not exist yet."""
        self._redis = redis
        self._name = name
        self._deduplicate_for = deduplicate_for
        self._min_replicas = min_replicas

    @property
    def name(self) -> StreamName:
        """The stream's name."""
        return self._name

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Append entries in order, each event id once; return a key or an error for each."""
        if not entries:
            return ()
        with self._redis.errors():
            return await append(self._redis, self._name, entries, self._deduplicate_for, self._min_replicas)

    async def get(self, key: EventKey) -> Entry | None:
        """Return the entry with this key, or None."""
        with self._redis.errors():
            reply = await self._redis.command("XRANGE", self._name.key, key.entry_id, key.entry_id, "COUNT", 1)
        return next(iter(entries_of(reply, self._name.partition)), None)

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start`` (inclusive; None: the first) to before ``end``, in order."""
        if count < 1 or (end is not None and end <= (start or _START)):
            return ()
        first, last = "-" if start is None else start.entry_id, "+" if end is None else f"({end.entry_id}"
        with self._redis.errors():
            reply = await self._redis.command("XRANGE", self._name.key, first, last, "COUNT", count)
        return entries_of(reply, self._name.partition)

    async def before(self, key: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries before ``key`` (None: the newest), newest first."""
        if count < 1 or (key is not None and key <= _START):
            return ()
        last = "+" if key is None else f"({key.entry_id}"
        with self._redis.errors():
            reply = await self._redis.command("XREVRANGE", self._name.key, last, "-", "COUNT", count)
        return entries_of(reply, self._name.partition)

    async def after(self, key: EventKey, count: int, wait: timedelta) -> Sequence[Entry]:
        """Return up to ``count`` entries after ``key``, waiting up to ``wait`` (at most 1 s) for the first."""
        read = ("COUNT", count, *block(wait), "STREAMS", self._name.key, key.entry_id)
        with self._redis.errors():
            reply = await self._redis.command("XREAD", *read, repeat=False)
        return entries_read(reply, self._name.partition)

    async def find(self, event_id: UUID) -> EventKey | None:
        """Return the key of the entry with this event id, or None; reads all entries appended near its time."""
        # The append script accepts an id within one window around the second of its time (see APPEND).
        first, second, last = keys_near(event_id, self._deduplicate_for, self._name.partition)
        for start, end in ((second, last), (first, second)):
            found = await self._find_between(event_id, start, end)
            if found is not None:
                return found
        return None

    async def length(self) -> int:
        """Return how many entries there are."""
        with self._redis.errors():
            return cast("int", await self._redis.command("XLEN", self._name.key))

    async def last_key(self) -> EventKey:
        """Return the key of the newest entry there ever was; ``EventKey(0)`` when there was none."""
        with self._redis.errors():
            reply = await self._redis.run(_LAST_KEY, (self._name.key,), ())
        return event_key(cast("bytes", reply), self._name.partition)

    async def complete_from(self) -> EventKey | None:
        """Return the key from which the stream has no gaps; None: it has none anywhere."""
        with self._redis.errors():
            noted = await self._redis.command("HGET", self._name.key_of(ARCHIVE_KEY), COMPLETE_FROM_FIELD)
        return None if noted is None else event_key(cast("bytes", noted), self._name.partition)

    async def reserve(self, token: str, request: str, event_id: UUID, keep: timedelta) -> Reservation:
        """Keep ``event_id`` for ``token`` unless one is kept already; ``request`` is a digest to compare by."""
        key = self._name.key_of(f"{TOKEN_KEY}:{sha256(token.encode()).hexdigest()}")
        with self._redis.errors():
            kept = await self._redis.command("SET", key, f"{event_id} {request}", "NX", "GET", "PX", milliseconds(keep))
        if not isinstance(kept, bytes):
            return Reservation(event_id, same_request=True)
        kept_id, _, kept_request = kept.decode().partition(" ")
        return Reservation(UUID(kept_id), same_request=kept_request == request)

    async def erase(self, key: EventKey) -> bool:
        """Delete the entry with this key, and remember that it was erased; return whether it was there."""
        with self._redis.errors():
            return await self._redis.run(ERASE, (self._name.key,), (key.entry_id,)) == 1

    async def erased(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return which of these entries were erased."""
        if not keys:
            return frozenset()
        ids = [key.entry_id for key in keys]
        with self._redis.errors():
            reply = await self._redis.command("SMISMEMBER", self._name.key_of(TOMBSTONES_KEY), *ids)
        return frozenset(key for key, found in zip(keys, cast("list[int]", reply), strict=True) if found)

    async def groups(self, expected: Collection[str] = (), *, most_counted: int = MOST_COUNTED) -> Sequence[GroupState]:
        """Return the state of every consumer group, and of those that are expected and do not exist."""
        return await read_group_states(self._redis, self._name, expected, most_counted)

    async def _find_between(self, event_id: UUID, start: EventKey, end: EventKey) -> EventKey | None:
        while entries := await self.range(start, end, _SEARCHED_AT_ONCE):
            for entry in entries:
                if has_event_id(entry.fields, event_id):
                    return entry.key
            start = entries[-1].key.successor()
        return None


def block(wait: timedelta) -> tuple[str | int, ...]:
    """Return the arguments that make a read block; BLOCK 0 would block forever, so no wait means no BLOCK."""
    blocked = milliseconds(min(wait, LONGEST_WAIT), least=0)
    return ("BLOCK", blocked) if blocked > 0 else ()
