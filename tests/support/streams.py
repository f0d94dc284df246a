"""A stream that can be blocked and made to fail, around a real one."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from uuid import UUID

from event_backbone.errors import StreamError
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.base import Stream
from event_backbone.stream.values import Entry, GroupState, NewEntry, Reservation

Answer = Sequence[EventKey | StreamError]


class HeldStream:
    """Passes every call on; ``append`` waits while ``open`` is not set, and runs one of ``faults`` in each call.

    A fault runs before the entries are appended, or, when put into ``lost``, after: then only the answer is lost.
    ``batches`` has the entries of every call to ``append``; ``find`` takes as long as ``find_takes``.
    """

    def __init__(self, stream: Stream) -> None:
        """Wrap ``stream``, open and without faults."""
        self._stream = stream
        self.open = asyncio.Event()
        self.open.set()
        self.entered = asyncio.Event()
        self.faults: deque[BaseException] = deque()
        self.lost: deque[BaseException] = deque()
        self.on_append: Callable[[], None] | None = None
        self.find_takes = timedelta()
        self.batches: list[Sequence[NewEntry]] = []

    @property
    def name(self) -> StreamName:
        """The stream's name."""
        return self._stream.name

    async def append(self, entries: Sequence[NewEntry]) -> Answer:
        """Append, unless a fault comes first."""
        self.batches.append(entries)
        self.entered.set()
        if self.on_append is not None:
            self.on_append()
        await self.open.wait()
        if self.faults:
            raise self.faults.popleft()
        answer = await self._stream.append(entries)
        if self.lost:
            raise self.lost.popleft()
        return answer

    async def get(self, key: EventKey) -> Entry | None:
        """Return the entry with this key, or None."""
        return await self._stream.get(key)

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return entries in order."""
        return await self._stream.range(start, end, count)

    async def before(self, key: EventKey | None, count: int) -> Sequence[Entry]:
        """Return entries, newest first."""
        return await self._stream.before(key, count)

    async def after(self, key: EventKey, count: int, wait: timedelta) -> Sequence[Entry]:
        """Return entries after ``key``, unless a fault comes first."""
        if self.faults:
            raise self.faults.popleft()
        return await self._stream.after(key, count, wait)

    async def find(self, event_id: UUID) -> EventKey | None:
        """Return the key of the entry with this event id."""
        await asyncio.sleep(self.find_takes.total_seconds())
        return await self._stream.find(event_id)

    async def last_key(self) -> EventKey:
        """Return the newest key."""
        return await self._stream.last_key()

    async def complete_from(self) -> EventKey | None:
        """Return the key from which there are no gaps."""
        return await self._stream.complete_from()

    async def reserve(self, token: str, request: str, event_id: UUID, keep: timedelta) -> Reservation:
        """Keep an event id for a token."""
        return await self._stream.reserve(token, request, event_id, keep)

    async def erase(self, key: EventKey) -> bool:
        """Delete an entry and remember that it was erased."""
        return await self._stream.erase(key)

    async def erased(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return which entries were erased."""
        return await self._stream.erased(keys)

    async def groups(self, expected: Collection[str] = (), *, most_counted: int = 1000) -> Sequence[GroupState]:
        """Return the state of every consumer group."""
        return await self._stream.groups(expected, most_counted=most_counted)
