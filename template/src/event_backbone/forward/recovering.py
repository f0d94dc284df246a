"""Finds how far a link was in the target's own history, when Redis has lost its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import from_json

from event_backbone.forward.link import Link
from event_backbone.model import EventKey
from event_backbone.stream.base import Stream
from event_backbone.wire import METADATA_FIELD
from event_backbone.wire.origin import ORIGIN_MEMBER

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads
    from event_backbone.wire.archived_event import ArchivedEvent

_METADATA = METADATA_FIELD.encode()
_MAY_BE_FORWARDED = f'"{ORIGIN_MEMBER}"'.encode()
_PAGE = 1000


async def last_forwarded(link: Link, stream: Stream, cold: ColdReads | None) -> EventKey | None:
    """Return the key in the source of the newest event that the link has forwarded; None if there is none.

    Reads the target backwards, the stream and then its archive. A link forwards in order, so the newest says how far
    it was.

    Raises StreamUnavailable, StorageUnavailable, ConfigurationError or ArchiveUnreadable, as those do.
    """
    before: EventKey | None = None
    while entries := await stream.before(before, _PAGE):
        for entry in entries:
            found = source_key(link, entry.fields.get(_METADATA, b""))
            if found is not None:
                return found
        before = entries[-1].key
    if cold is None:
        return None
    archived: list[EventKey] = []

    def is_forwarded(event: ArchivedEvent) -> bool:
        found = source_key(link, event.document)
        if found is not None:
            archived.append(found)
        return found is not None

    await cold.before_last(1, before, is_forwarded)
    return archived[0] if archived else None


def source_key(link: Link, document: bytes) -> EventKey | None:
    """Return the key in the source of an event of the target; None if the link has not forwarded it."""
    if _MAY_BE_FORWARDED not in document:
        return None
    try:
        return link.key_of(from_json(document).get(ORIGIN_MEMBER))
    except (ValueError, AttributeError):
        return None
