"""One stream in memory: appending and reading without a group."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from event_backbone.errors import StreamError
from event_backbone.model import EventKey, StreamName, event_id_error
from event_backbone.stream.memory.log import LONGEST_WAIT, Group, Log
from event_backbone.stream.values import MOST_COUNTED, Entry, GroupState, NewEntry, Reservation
from event_backbone.wire import FORMAT_FIELD, INLINE_PREFIX, METADATA_FIELD, WIRE_FORMAT, has_event_id
from event_backbone.wire.keys import WAITING_CONSUMER


class MemoryStream:
    """Implements ``stream.base.Stream``."""

    def __init__(self, log: Log, deduplicate_for: timedelta) -> None:
        """Work on this log."""
        self._log = log
        self._deduplicate_for = deduplicate_for

    @property
    def name(self) -> StreamName:
        """The stream's name."""
        return self._log.name

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Append entries in order, each event id once; answer a key or an error for each."""
        self._forget()
        return [self._append(entry) for entry in entries]

    async def get(self, key: EventKey) -> Entry | None:
        """Return the entry with this key, or None."""
        return self._log.entries.get(key)

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start`` (inclusive; None: the first) to before ``end``, in order."""
        return [entry for entry in self._log.from_key(start, max(count, 0)) if end is None or entry.key < end]

    async def before(self, key: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries before ``key`` (None: the newest), newest first."""
        return self._log.before_key(key, max(count, 0))

    async def after(self, key: EventKey, count: int, wait: timedelta) -> Sequence[Entry]:
        """Return up to ``count`` entries after ``key``, waiting up to ``wait`` (at most 1 s) for the first."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait, LONGEST_WAIT).total_seconds()
        while True:
            found = self._log.from_key(key, count, exclusive=True)
            remaining = deadline - loop.time()
            if found or remaining <= 0:
                return found
            await self._log.wait(remaining)

    async def find(self, event_id: UUID) -> EventKey | None:
        """Return the key of the entry with this event id, or None."""
        return next((entry.key for entry in self._log.entries.values() if has_event_id(entry.fields, event_id)), None)

    async def last_key(self) -> EventKey:
        """Return the key of the newest entry there ever was; ``EventKey(0)`` when there was none."""
        return self._log.last

    async def complete_from(self) -> EventKey | None:
        """Return None, as nothing is removed."""
        return None

    async def reserve(self, token: str, request: str, event_id: UUID, keep: timedelta) -> Reservation:
        """Keep ``event_id`` for ``token`` unless one is kept already; ``request`` is a digest to compare by."""
        now = self._log.wall()
        kept = self._log.tokens.get(token)
        if kept is None or kept[2] <= now:
            kept = self._log.tokens[token] = (event_id, request, now + keep.total_seconds())
        return Reservation(kept[0], same_request=kept[1] == request)

    async def erase(self, key: EventKey) -> bool:
        """Delete the entry with this key, and remember that it was erased; return whether it was there."""
        if key not in self._log.entries:
            return False
        self._log.remove(key)
        self._log.tombstones.add(key)
        return True

    async def erased(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return which of these entries were erased."""
        return frozenset(keys) & self._log.tombstones

    async def groups(
        self,
        expected: Collection[str] = (),
        *,
        most_counted: int = MOST_COUNTED,  # noqa: ARG002 - all are known
    ) -> Sequence[GroupState]:
        """Return the state of every consumer group, and of those that are expected and do not exist."""
        none, groups = Group(EventKey(0, 0, self.name.partition)), self._log.groups
        missing = [name for name in dict.fromkeys(expected) if name not in groups]
        found = [self._state(name, group) for name, group in groups.items()]
        return found + [replace(self._state(name, none), exists=False) for name in missing]

    def _append(self, entry: NewEntry) -> EventKey | StreamError:
        seen = self._log.seen.get(entry.event_id)
        if seen is not None:
            return seen
        now = self._log.wall()
        if now >= self._refused_from(entry.event_id) or now < self._accepted_from(entry.event_id):
            return event_id_error(entry.event_id, now, self._deduplicate_for)
        for write in entry.writes:
            self._log.hashes[write.purpose] = {**self._log.hashes.get(write.purpose, {}), **write.fields}
        inline = {f"{INLINE_PREFIX}{name}".encode(): value for name, value in entry.inline.items()}
        key = self._log.add({FORMAT_FIELD.encode(): WIRE_FORMAT, METADATA_FIELD.encode(): entry.metadata, **inline})
        self._log.seen[entry.event_id] = key
        return key

    def _refused_from(self, event_id: UUID) -> float:
        return (event_id.int >> 80) // 1000 + 1 + self._deduplicate_for.total_seconds()

    def _accepted_from(self, event_id: UUID) -> float:
        return (event_id.int >> 80) // 1000 - self._deduplicate_for.total_seconds()

    def _forget(self) -> None:
        now = self._log.wall()
        for event_id in [event_id for event_id in self._log.seen if now >= self._refused_from(event_id)]:
            del self._log.seen[event_id]

    def _state(self, name: str, group: Group) -> GroupState:
        kept, unread, now = self._log.membership(name), self._log.after(group.last), self._log.now()
        return GroupState(
            name=name,
            consumers=len(group.consumers - {WAITING_CONSUMER}),
            pending=len(group.pending),
            unread=len(unread),
            dead_letters=len(self._log.dead.get(name, {})),
            last_delivered=group.last,
            parked=len(kept.due),
            due=sum(due <= now for due in kept.due.values()),
            oldest_unread=_age(unread, now),
            oldest_pending=_age(sorted(group.pending), now),
            finished=self._log.added - len(unread) - len(group.pending),
            skipped_after=None if kept.skipped is None else kept.skipped[0],
            skipped_until=None if kept.skipped is None else kept.skipped[1],
        )


def _age(keys: Sequence[EventKey], now: int) -> timedelta | None:
    return timedelta(milliseconds=max(0, now - keys[0].milliseconds)) if keys else None
