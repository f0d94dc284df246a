"""How a loss of Redis shows: it knows less than what the archive has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from event_backbone.archive.history import History
from event_backbone.errors import EventsLost
from event_backbone.model import StreamName
from event_backbone.wire.segment_header import SegmentHeader

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNote, ArchiveNotes


def has_lost_events(note: ArchiveNote, last: SegmentHeader | None) -> bool:
    """Return whether Redis has lost events that are in the archive, of which ``last`` is the last segment.

    Every archiver notes in Redis, before it commits a segment, up to where that goes. So if a segment goes further than
    what is noted, the note is lost, and with it all that was written to Redis after it; and perhaps before, if the
    note is missing altogether. ``note`` has to be read after ``last``, as archivers commit meanwhile.
    """
    if last is None:
        return False
    return note.committing is None or note.committing < last.last or note.last_key < note.committing


async def read_end(notes: ArchiveNotes, history: History) -> tuple[ArchiveNote, SegmentHeader | None]:
    """Return the last segment's header, None without one, and what Redis had noted after that was found.

    Raises as ``History.last`` does.
    """
    before = await notes.read()
    known = before.follows if before.committed is not None and before.committed.milliseconds > 0 else None
    last = await history.last(known)
    return await notes.read(), last


def events_lost(stream: StreamName) -> EventsLost:
    """Return the error that says so."""
    return EventsLost(
        f"Redis has lost events of stream {stream.key} that its archive has: restore them; until then nothing is "
        "archived."
    )
