"""Reads one ordered history across archive and stream, each event once, while both change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from event_backbone.archive.gap import Gap
from event_backbone.archive.history import History
from event_backbone.archive.keys import segment_key
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import Segment
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.values import Entry
from event_backbone.wire.archived_event import (
    ArchivedEvent,
    key_of_archived,
    read_archived,
    read_archived_ids,
    read_archived_metadata,
    read_key,
)

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNotes

_PAGE = 100  # so few objects live at once that the garbage collector has next to nothing to do


class ColdPage(NamedTuple):
    """Events of one segment, in order, and where that is."""

    events: Sequence[ArchivedEvent]
    segment: str


class ColdReads:
    """Reads what is no longer in the stream, or not again, from the archive."""

    def __init__(self, archive: S3Archive, notes: ArchiveNotes, stream: StreamName) -> None:
        """Read the history of this stream."""
        self._archive = archive
        self._notes = notes
        self._stream = stream
        self._history = History(archive, stream)
        self._beginning = EventKey(0, 0, stream.partition)

    async def get(self, key: EventKey) -> ColdPage | None:
        """Return the archived event with this key; None if it is not archived. At most three requests.

        Raises StorageUnavailable, ConfigurationError or ArchiveUnreadable as ``History`` does.
        """
        note = await self._notes.read()
        if note.exists and (note.committed is None or note.committed < key):
            return None
        segment = await self._history.find(key, note.follows)
        if segment is None:
            return None
        wanted = key.entry_id.encode()
        line = next((each for each in segment.lines() if key_of_archived(each) == wanted), None)
        return None if line is None else ColdPage([self._read(line)], self._location(segment))

    async def find(self, event_id: UUID, start: EventKey, end: EventKey) -> EventKey | None:
        """Return the key of the archived event with this id, if it is between ``start`` and ``end`` (exclusive).

        Call it when the stream does not have the event. A stream without gaps there answers for the archive: then
        nothing is read. Raises as ``get`` does.
        """
        note = await self._notes.read()
        if note.exists and (note.complete_from is None or note.complete_from <= start):
            return None
        wanted = str(event_id)
        part = wanted.encode()
        listed = self._history.segments(start.predecessor(), known=note.follows)
        async with aclosing(listed) as segments:
            async for segment in segments:
                if segment.header.follows >= end:
                    return None
                for line in segment.lines() if part in segment.text else ():
                    if part in line and (found := read_archived_ids(line, self._stream))[1] == wanted:
                        return found[0]
        return None

    async def last_key(self) -> EventKey:
        """Return the key of the newest archived event; ``EventKey(0)`` if there is none. Raises as ``get`` does."""
        note = await self._notes.read()
        if note.exists and note.committed is not None:
            return note.committed
        last = await self._history.last(note.follows)
        return self._beginning if last is None else last.last

    async def metadata(self, keys: Collection[EventKey]) -> dict[EventKey, bytes]:
        """Return the metadata of those of these events that are archived, as their entries had it.

        Reads each segment once. Raises as ``get`` does.
        """
        note, found = await self._notes.read(), dict[EventKey, bytes]()
        segment: Segment | None = None
        lines: dict[bytes, bytes] = {}
        for key in sorted(keys):
            if segment is None or segment.header.last < key:
                is_archived = not note.exists or (note.committed is not None and key <= note.committed)
                segment = await self._history.find(key, note.follows) if is_archived else None
                if segment is None:
                    break
                lines = {key_of_archived(line): line for line in segment.lines()}
            line = lines.get(key.entry_id.encode())
            if line is not None:
                found[key] = read_archived_metadata(line, self._stream)[1]
        return found

    async def page(self, after: EventKey, stop: EventKey | None, count: int) -> tuple[Sequence[Entry], Gap | None]:
        """Return up to ``count`` entries of the stream after this key, and the gap after which they may come.

        In a gap are entries that retention has removed, or that Redis has lost. The archive has them: whoever has read
        ``pages`` of the gap to their end has all that are in it.
        """
        entries, complete_from, exists = await self._notes.page(after, stop, count)
        is_complete = exists and (complete_from is None or complete_from <= after.successor())
        return entries, None if is_complete else Gap(complete_from)

    async def pages(self, after: EventKey, stop: EventKey | None, gap: Gap) -> AsyncGenerator[ColdPage, None]:
        """Yield the archived events after this key, before ``stop`` and in the gap, in order."""
        if gap.before is not None and (stop is None or gap.before < stop):
            stop = gap.before
        note = await self._notes.read()
        listed = self._history.segments(after, known=note.follows, until=note.committed)
        async with aclosing(listed) as segments:
            async for segment in segments:
                if stop is not None and segment.header.follows >= stop:
                    return
                location = self._location(segment)
                header, lines = segment.header, segment.lines()
                if after > header.follows or (stop is not None and stop <= header.last):
                    lines = [line for line in lines if _is_between(line, after, stop, self._stream)]
                for first in range(0, len(lines), _PAGE):
                    yield ColdPage([self._read(line) for line in lines[first : first + _PAGE]], location)

    async def before_last(
        self, count: int, before: EventKey | None, wanted: Callable[[ArchivedEvent], bool]
    ) -> EventKey:
        """Return a key before the newest ``count`` wanted events that are archived and come before ``before``."""
        note = await self._notes.read()
        if note.exists and note.complete_from is None:
            return self._beginning
        segment = None if before is None else await self._history.find(before, note.follows)
        if segment is None:
            last = await self._history.last(note.follows)
            segment = None if last is None else await self._history.segment(last.follows)
        while segment is not None:
            for line in reversed(segment.lines()):
                event = self._read(line)
                if before is None or event.key < before:
                    count -= wanted(event)
                    if count == 0:
                        return event.key.predecessor()
            previous = segment.header.previous
            segment = None if previous is None else await self._history.segment(previous)
        return self._beginning

    def _read(self, line: bytes) -> ArchivedEvent:
        return read_archived(line, self._stream)

    def _location(self, segment: Segment) -> str:
        options = self._archive.options
        key = segment_key(options, self._stream, segment.header.follows)
        return f"s3://{options.bucket_of(self._stream.environment)}/{key}"


def _is_between(line: bytes, after: EventKey, stop: EventKey | None, stream: StreamName) -> bool:
    key = read_key(key_of_archived(line), stream)
    return after < key and (stop is None or key < stop)
