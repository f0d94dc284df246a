"""Erasing an event where an archive is: noted first, so that no archiver brings back what is being erased."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from event_backbone.archive.cold_reads import ColdReads
from event_backbone.archive.erased_lines import erase_archived
from event_backbone.archive.history import History
from event_backbone.archive.reading import read_metadata
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.errors import PayloadGone
from event_backbone.model import EventKey, PayloadReference, StreamName

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNotes
    from event_backbone.wire.archived_event import ArchivedEvent


class ArchiveErasing:
    """Erases events of one stream in its archive.

    What is noted stays noted until no segment has it any more, whoever finds that out; so an archiver that read the
    event before it was erased erases it in the segment that it has written.
    """

    def __init__(self, archive: S3Archive | None, notes: ArchiveNotes, stream: StreamName) -> None:
        """Erase in this archive; without one here, leave it to those who have one."""
        self._archive = archive
        self._notes = notes
        self._stream = stream

    async def find(self, key: EventKey) -> ArchivedEvent | None:
        """Return the event as it is in the archive; None if it is not there. Raises as ``ColdReads.get`` does."""
        if self._archive is None:
            return None
        page = await ColdReads(self._archive, self._notes, self._stream).get(key)
        return None if page is None else page.events[0]

    async def references(self, key: EventKey) -> tuple[PayloadReference, ...]:
        """Return where the payload was when the event was archived; nothing if it is not. Raises as ``find`` does."""
        event = await self.find(key)
        return () if event is None else read_metadata(event, self._stream)[1]

    @asynccontextmanager
    async def erasing(self, key: EventKey, part: str | None) -> AsyncGenerator[None]:
        """Note what is to be erased before it is erased, in this context, and erase it in its segment afterwards.

        An event that is not committed yet stays noted, and its archiver erases it. Nothing is noted if the stream has
        no archive anywhere; so that is asked again afterwards, as an archiver may have read the event meanwhile.

        Raises:
            StorageUnavailable, ConfigurationError, ArchiveUnreadable: it is not erased in its segment yet; archivers
                will do it.
        """
        is_noted = await self._note(key, part)
        gone: PayloadGone | None = None
        try:
            yield
        except PayloadGone as error:
            gone = error
        if not is_noted:
            await self._note(key, part)
        if self._archive is not None:
            note, history = await self._notes.read(), History(self._archive, self._stream)
            if await erase_archived(self._archive, history, self._stream, [(key, part)], note.follows):
                await self._notes.forget_erased([(key, part)])
        if gone is not None:
            raise gone

    async def _note(self, key: EventKey, part: str | None) -> bool:
        is_archived = self._archive is not None or (await self._notes.read()).exists
        if is_archived:
            await self._notes.note_erased([(key, part)])
        return is_archived
