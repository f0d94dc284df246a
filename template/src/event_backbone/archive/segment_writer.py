"""Fills a segment with events and commits it; finds where the archive ends, and whether Redis has all that it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from pydantic_core import from_json

from event_backbone import telemetry
from event_backbone.archive.copying import Copying
from event_backbone.archive.erased_lines import erase_archived, erase_lines
from event_backbone.archive.history import History
from event_backbone.archive.keys import segment_key
from event_backbone.archive.losses import events_lost, has_lost_events, read_end
from event_backbone.archive.open_segment import OpenSegment
from event_backbone.archive.pacing import SLICE, Pacing
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import SEGMENT_CONTENT_TYPE, pack_segment
from event_backbone.errors import ArchiveUnreadable, DecodeError
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.values import Entry
from event_backbone.wire.archived_event import ArchivedEvent, read_archived, write_archived
from event_backbone.wire.segment_header import SegmentHeader

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNote, ArchiveNotes

_MOST_OPEN_BYTES = 128 << 20

_log = logging.getLogger("event_backbone")


class SegmentWriter:
    """Writes the segments of one stream, each of which follows another.

    Any number of them may write at the same time, in any number of processes, and each may end at any line: a segment
    is created or exists already, and then what it has is dropped here. So there is never a fork, a gap or an overlap.
    """

    def __init__(self, archive: S3Archive, stream: StreamName, notes: ArchiveNotes, copying: Copying) -> None:
        """Write segments of this stream."""
        self._archive = archive
        self._stream = stream
        self._notes = notes
        self._copying = copying
        self._history = History(archive, stream)
        self._last: SegmentHeader | None = None
        self.open = OpenSegment(archive.open_bytes)
        self.pacing = Pacing()
        self._newest = b""
        self.archived = 0
        self.position = self._beginning = EventKey(0, 0, stream.partition)

    @property
    def committed(self) -> EventKey:
        """The last key that is in the archive; ``EventKey(0)`` if none is."""
        return self._beginning if self._last is None else self._last.last

    async def locate(self) -> None:
        """Find the end of the archive, and check that Redis has not lost what the archive has.

        Raises:
            EventsLost: it has; nothing may be archived before it is restored.
            ArchiveUnreadable: the archive has lost what Redis knows it had.
        """
        note, last = await read_end(self._notes, self._history)
        self._last = last
        if last is None:
            if note.committing is None:
                await self._notes.create()
        else:
            self.check(note)
            if note.committed is None or note.committed < last.last:
                await self._notes.commit(last.last, last.follows)
        self.drop_open()

    def check(self, note: ArchiveNote) -> None:
        """Raise EventsLost if Redis has lost events that the archive has."""
        if has_lost_events(note, self._last):
            raise events_lost(self._stream)

    async def add(self, entries: Sequence[Entry]) -> None:
        """Add the events in these entries, which follow ``position``; commit whenever a segment is full.

        If a failover has lost what is open, everything since the last segment is read again: ``position`` says so.

        Raises:
            StorageUnavailable: a payload may be there later; what comes before it was added.
            EventsLost: as ``commit`` does.
        """
        if entries and self.open and not await self._is_still_there():
            await self.locate()
            return
        async with aclosing(self._copying.archived(entries, self.pacing)) as copied:
            async for events in copied:
                for first in range(0, len(events), SLICE):
                    if not (await self._add(events[first : first + SLICE]) and await self.pacing.give_way()):
                        return
        if entries:
            self.position = entries[-1].key

    async def _add(self, events: Sequence[ArchivedEvent]) -> bool:
        """Add events; return what ``commit`` does if it was called."""
        for event in events:
            if (self._is_full or not self.open.takes(event.key)) and not await self.commit():
                return False
            self.open.add(event.key, self._line(event))
            self.position, self._newest = event.key, event.document
        return True

    async def commit(self) -> bool:
        """Write what is open as the segment that follows the last one.

        Return False if another archiver has written that, or a failover has lost what is open: then that is dropped,
        and ``position`` is the end of the archive.

        Raises:
            EventsLost: Redis has lost events that are in the archive, or were about to be.
            StorageUnavailable, ConfigurationError: it may or may not be written; call it again.
        """
        last = self.open.last
        if last is None:
            return True
        lines = erase_lines(self.open.lines, self._stream, await self._notes.erased())
        if not await self._notes.begin(last, self.committed):
            if self._last is not None or (await self._notes.read()).exists:
                raise events_lost(self._stream)
            await self.locate()  # Redis was emptied before anything was archived
            return False
        if not await self._is_still_there():
            await self.locate()
            return False
        events = len(lines)
        previous, total = (None, 0) if self._last is None else (self._last.follows, self._last.total)
        header = SegmentHeader(self._stream, self.committed, previous, last, events, total + events)
        data = await asyncio.to_thread(pack_segment, header, lines)
        key = segment_key(self._archive.options, self._stream, header.follows)
        objects = await self._archive.objects(self._stream.environment)
        if await objects.create(key, data, content_type=SEGMENT_CONTENT_TYPE):
            self.archived += header.events
            telemetry.archived.add(header.events, {"uri": self._stream.uri})
            self._last = header
        else:
            self._last = await self._written_by_another(header.follows)
        self.drop_open()
        await self._notes.commit(self._last.last, self._last.follows)
        await self.erase_noted()
        return self._last == header

    async def _is_still_there(self) -> bool:
        """Return whether the stream has what was read last, and so all that was read before it.

        What Redis loses in a failover is the end of all that was written.
        """
        last = self.open.last
        return last is None or await self._notes.document(last) == self._newest

    async def _written_by_another(self, follows: EventKey) -> SegmentHeader:
        """Return the header of a segment that exists; note it if Redis has lost what is in it.

        What other archivers note hides that, if they set out to commit after the loss and before the segment was there.
        """
        segment = await self._history.segment(follows)
        if segment is None:
            key = segment_key(self._archive.options, self._stream, follows)
            raise ArchiveUnreadable(f"The archive's segment {key} exists and cannot be found; look at the bucket.")
        if segment.header.events:
            event = read_archived(segment.lines()[-1], self._stream)
            document = await self._notes.document(event.key)
            if document is None or from_json(document) != from_json(event.document):
                await self._notes.distrust()
        return segment.header

    async def erase_noted(self) -> None:
        """Erase, in the segments, what was erased meanwhile. Raises as ``erase_archived`` does."""
        last = self._last
        if last is None:
            return
        parts = [each for each in await self._notes.erased() if each[0] <= last.last]
        if parts:
            await erase_archived(self._archive, self._history, self._stream, parts, last.follows)
            await self._notes.forget_erased(parts)

    def drop_open(self) -> None:
        """Drop what is open, to read it again.

        After a loss of Redis, what was read before it may be in the stream under other keys.
        """
        self.open.clear()
        self.position = self.committed

    @property
    def _is_full(self) -> bool:
        together = self._archive.open_bytes.now
        return self.open.bytes >= self._archive.segment_bytes or (bool(self.open) and together >= _MOST_OPEN_BYTES)

    def _line(self, event: ArchivedEvent) -> bytes:
        try:
            return write_archived(event, self._stream)
        except DecodeError as error:
            _log.warning("Archived without its payload: %s", error)
            return write_archived(event._replace(payload=None, parts={}), self._stream)
