"""The header of a segment: whose events it has, and its place in the archive."""

from __future__ import annotations

from typing import NamedTuple, cast

from pydantic_core import from_json, to_json

from event_backbone.errors import ArchiveUnreadable
from event_backbone.model.event_key import EventKey
from event_backbone.model.stream_name import StreamName

_FORMAT = 1


class SegmentHeader(NamedTuple):
    """What a segment says of itself.

    Attributes:
        stream: whose events it has.
        follows: the key after which it begins: the last one of the segment before, or ``EventKey(0)``.
        previous: what the segment before follows; None in the first one.
        last: its own last key, which the next segment follows.
        events: how many events it has; none in a fence, by which a restore ends what came before.
        total: how many events it and all before it have.
    """

    stream: StreamName
    follows: EventKey
    previous: EventKey | None
    last: EventKey
    events: int
    total: int


def write_header(header: SegmentHeader) -> bytes:
    """Return the header as JSON."""
    stream = header.stream
    return to_json(
        {
            "format": _FORMAT,
            "uri": stream.uri,
            "environment": stream.environment,
            "partition": stream.partition,
            "follows": header.follows.entry_id,
            "previous": None if header.previous is None else header.previous.entry_id,
            "last": header.last.entry_id,
            "events": header.events,
            "total": header.total,
        }
    )


def read_header(document: bytes, name: str) -> SegmentHeader:
    """Read a header; ``name`` is the segment's, for the error's text.

    Raises:
        ArchiveUnreadable: it is damaged, or a later version wrote it.
    """
    try:
        found = cast("dict[str, object]", from_json(document))
        version = found["format"]
        if version != _FORMAT:
            raise ArchiveUnreadable(
                f"The archive's segment {name} has format {str(version)[:20]}, and this version of event_backbone "
                f"reads format {_FORMAT}; update it."
            )
        partition = int(str(found["partition"]))
        stream = StreamName(str(found["uri"]), str(found["environment"]), partition)
        previous = None if found["previous"] is None else _key(found["previous"], partition)
        last, events, total = _key(found["last"], partition), int(str(found["events"])), int(str(found["total"]))
        return SegmentHeader(stream, _key(found["follows"], partition), previous, last, events, total)
    except (ValueError, KeyError, TypeError):
        raise ArchiveUnreadable(f"The archive's segment {name} has a damaged header; restore the object.") from None


def _key(text: object, partition: int) -> EventKey:
    milliseconds, _, sequence = str(text).partition("-")
    return EventKey(int(milliseconds), int(sequence), partition)
