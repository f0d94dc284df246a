"""The metadata of an event: everything about it except its payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.model.fast_objects import setter_of

if TYPE_CHECKING:
    from event_backbone.model.event_key import EventKey
    from event_backbone.model.origin import Origin
    from event_backbone.model.stream_name import StreamName

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

ReadRest = Callable[[bytes, "StreamName"], Mapping[str, object]]
"""Reads the other members, by name, from the written document and the name of its stream."""

_READ_LATER = frozenset(
    {
        "event_id",
        "produced_at",
        "uri",
        "environment",
        "correlation_id",
        "causation_id",
        "partition_key",
        "headers",
        "origin",
    }
)


class _Source:
    """What metadata was read from: slots, not members of the dataclass."""

    __slots__ = ("_document", "_read_rest", "_stream")

    _document: bytes
    _stream: StreamName
    _read_rest: ReadRest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata(_Source):
    """The metadata of an event that is not in the stream yet.

    ``headers`` are short texts from interceptors, and the trace context.
    """

    event_id: UUID
    event: str
    version: int
    produced_at: datetime
    uri: str
    environment: str
    correlation_id: str
    causation_id: str | None = None
    partition_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata(NewMetadata):
    """The metadata of an event in the stream.

    ``event`` is the name on the wire, ``produced_at`` the producer's time (aware, UTC), ``key`` the position in the
    stream with the server's time. All events that one first event caused share its ``correlation_id``; ``causation_id``
    is the event id of the event that was being handled when this one was produced. ``size_bytes`` is the size of the
    payload as it was encoded. ``missing`` names the arguments of this delivery that became None or their default
    because a part of the payload is gone, erased, or not given to this program. ``origin`` says where a forwarded event
    comes from; it is None for an event that was produced to this stream.
    """

    key: EventKey
    size_bytes: int = 0
    missing: tuple[str, ...] = ()
    origin: Origin | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Read the members that few handlers use, all at once on first use (fast path, see decision 0005)."""
            if name not in _READ_LATER:
                return () if name == "missing" else object.__getattribute__(self, name)
            for member, value in self._read_rest(self._document, self._stream).items():
                object.__setattr__(self, member, value)
            return object.__getattribute__(self, name)


_set_key, _set_event, _set_version, _set_size_bytes, _set_stream, _set_document, _set_read_rest = (
    setter_of(Metadata, slot)
    for slot in ("key", "event", "version", "size_bytes", "_stream", "_document", "_read_rest")
)


def metadata_read_later(  # noqa: PLR0917 - positional: fast path, see decision 0005
    key: EventKey, event: str, version: int, size_bytes: int, stream: StreamName, document: bytes, read_rest: ReadRest
) -> Metadata:
    """Return metadata whose other members ``read_rest`` reads from ``document`` when one is first used."""
    metadata = object.__new__(Metadata)
    _set_key(metadata, key)
    _set_event(metadata, event)
    _set_version(metadata, version)
    _set_size_bytes(metadata, size_bytes)
    _set_stream(metadata, stream)
    _set_document(metadata, document)
    _set_read_rest(metadata, read_rest)
    return metadata
