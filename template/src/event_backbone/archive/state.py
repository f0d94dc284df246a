"""How far the archive of one stream is, and whether Redis still has what the archive has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.archive.history import History
from event_backbone.archive.losses import has_lost_events, read_end
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.model import EventKey, StreamName

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNotes


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """The state of a stream's archive, as S3 and Redis have it at about the same moment.

    Attributes:
        committed: the key up to which events are in the archive; None if none is.
        lag: how old the oldest event in Redis is that is not archived; 0 if all are.
        events_lost: whether Redis has lost events that the archive has. Then nothing is archived before they are
            restored, and ``lag`` is about what Redis still has.
    """

    committed: EventKey | None
    lag: timedelta
    events_lost: bool


async def read_state(archive: S3Archive, notes: ArchiveNotes, stream: StreamName) -> ArchiveState:
    """Return the state of a stream's archive. Three or four requests; nothing is written.

    Raises:
        StreamUnavailable, StorageUnavailable: Redis or S3 does not answer.
        ConfigurationError: S3 refuses.
        ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
    """
    note, last = await read_end(notes, History(archive, stream))
    committed = None if last is None else last.last
    oldest = await notes.oldest_after(committed or EventKey(0, 0, stream.partition))
    age = 0.0 if oldest is None else max(0.0, time.time() - oldest.milliseconds / 1000)
    return ArchiveState(committed, timedelta(seconds=age), has_lost_events(note, last))
