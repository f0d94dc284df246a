"""Finds which events of a restored source the target has: they have new keys there, and their ids may be forgotten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.forward.source import SourceEvent, SourceLoading, id_of
from event_backbone.model import EventKey
from event_backbone.scanning import Scan
from event_backbone.stream.base import Stream
from event_backbone.wire.fields import RESTORED_HEADER

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

_PAGE = 1000
_CLOCKS_APART = 24 * 60 * 60 * 1000  # milliseconds


async def restored_before(
    events: Sequence[SourceEvent], stream: Stream, cold: ColdReads | None, window: int
) -> set[EventKey]:
    """Return the keys of restored events that the target has already, as far as it may have forgotten their ids.

    It remembers ids for ``window`` milliseconds; half of that leaves time to append. Reads the target, stream and
    archive, from when the oldest of them was produced.

    Raises StreamUnavailable, StorageUnavailable, ConfigurationError or ArchiveUnreadable, as those do.
    """
    forgotten = time.time() * 1000 - window / 2
    wanted = {id_of(each): each.key for each in events if _is_restored(each) and _produced(each) < forgotten}
    if not wanted:
        return set()
    first = min(_produced(each) for each in events if id_of(each) in wanted)
    position = EventKey(max(0, first - _CLOCKS_APART))
    loading = SourceLoading()
    scan = Scan(stream, cold, loading, position=position, stop=None, wanted=None, follow=False, page=_PAGE)
    found: set[EventKey] = set()
    try:
        while len(found) < len(wanted) and (page := await scan.next_page()) is not None:
            found.update(key for each in page if (key := wanted.get(id_of(each))) is not None)
    finally:
        await scan.close()
    return found


def _is_restored(event: SourceEvent) -> bool:
    return RESTORED_HEADER in (event.members.get("headers") or {})


def _produced(event: SourceEvent) -> int:
    """Return when an event was produced by its id, in milliseconds."""
    return UUID(event.members["id"]).int >> 80
