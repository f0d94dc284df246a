"""The member ``origin`` of the metadata: the hops of a forwarded event, first to last.

A hop is ``[<identity of the stream>, <entry key>]``, with the name of the link as a third item if that differs from the
identity.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import core_schema, from_json

from event_backbone.model.event_key import EventKey
from event_backbone.model.origin import Hop, Origin

ORIGIN_MEMBER = "origin"

WrittenHop = Sequence[str]
"""A hop as it is in JSON."""

_HOP_ITEMS = 3
_MAY_BE_FORWARDED = f'"{ORIGIN_MEMBER}"'.encode()


def origin_schema() -> core_schema.CoreSchema:
    """Return the schema of the member."""
    key = core_schema.str_schema(strict=True, pattern=r"^[0-9]{1,20}-[0-9]{1,20}(~[0-9]{1,5})?$")
    text = core_schema.str_schema(strict=True)
    hop = core_schema.tuple_schema([text, key, core_schema.with_default_schema(text, default="")])
    return core_schema.nullable_schema(core_schema.list_schema(hop))


def is_forwarded(document: bytes) -> bool:
    """Return whether metadata, as JSON, is that of a forwarded event."""
    if _MAY_BE_FORWARDED not in document:
        return False
    try:
        return bool(from_json(document).get(ORIGIN_MEMBER))
    except (ValueError, AttributeError):
        return False


def read_origin(written: Sequence[WrittenHop] | None) -> Origin | None:
    """Return the origin in the member's value, which was checked; None for an event that was produced here."""
    if not written:
        return None
    hops = [(each[0], EventKey.parse(each[1]), each[2] if len(each) == _HOP_ITEMS else "") for each in written]
    return Origin(tuple([Hop(stream, key, link or stream) for stream, key, link in hops]))


def write_origin(origin: Origin) -> list[list[str]]:
    """Return the member's value."""
    return [write_hop(each) for each in origin.hops]


def write_hop(hop: Hop) -> list[str]:
    """Return a hop as it is in JSON."""
    written = [hop.stream, str(hop.key)]
    return written if hop.link == hop.stream else [*written, hop.link]
