"""The ids of the events that archive and stream have, as far back as a record of them may be in question."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID

from event_backbone.archive.history import History
from event_backbone.model import EventKey
from event_backbone.storage import StorageScope
from event_backbone.stream.base import Stream
from event_backbone.wire import METADATA_FIELD, read_event_id
from event_backbone.wire.archived_event import read_archived_ids

_METADATA = METADATA_FIELD.encode()
_PAGE = 1000


class KnownEvents:
    """Event ids as text. Holds about 100 bytes for each."""

    def __init__(self, scope: StorageScope, stream: Stream) -> None:
        """Know none of this stream's events yet."""
        self._scope = scope
        self._stream = stream
        self._ids: set[str] = set()
        self._read_to: EventKey | None = None

    @property
    def read_to(self) -> EventKey:
        """The last key of the stream that was read."""
        return self._read_to or EventKey(0, 0, self._scope.stream.partition)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    async def archived(self, history: History, since: EventKey) -> AsyncGenerator[list[tuple[UUID, EventKey]], None]:
        """Learn the archived events from this key on, and yield their ids and keys, some at a time.

        Raises as ``History`` does.
        """
        async with aclosing(history.segments(since.predecessor())) as segments:
            async for segment in segments:
                lines = segment.lines()
                for first in range(0, len(lines), _PAGE):
                    events = [read_archived_ids(line, self._scope.stream) for line in lines[first : first + _PAGE]]
                    self._ids.update([event_id for _, event_id in events])
                    yield [(UUID(event_id), key) for key, event_id in events if key >= since]

    def read_after(self, key: EventKey) -> None:
        """Read on in the stream after this key: the events up to there are known from the archive."""
        self._read_to = key

    async def read_on(self, since: EventKey) -> None:
        """Learn the stream's entries from this key on, or from where the last call ended.

        Raises StreamUnavailable in outages; call it again.
        """
        while True:
            start = since if self._read_to is None else self._read_to.successor()
            entries = await self._stream.range(start, None, _PAGE)
            for entry in entries:
                with suppress(KeyError, ValueError):  # not an event of wire format 1
                    self._ids.add(read_event_id(entry.fields[_METADATA]))
            if entries:
                self._read_to = entries[-1].key
            if len(entries) < _PAGE:
                return
