"""The metadata of an event: what is known of it besides its payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.model.slots import setter_of

if TYPE_CHECKING:
    from event_backbone.model.event_key import EventKey
    from event_backbone.model.stream_name import StreamName

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

ReadRest = Callable[[bytes, "StreamName"], Mapping[str, object]]
"""Returns, of a written document and its stream, the members that were not read at first, by name."""

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
    }
)


class _Source:
    """What metadata was read from: slots beside the members of the dataclass, no members themselves."""

    __slots__ = ("_document", "_read_rest", "_stream")

    _document: bytes
    _stream: StreamName
    _read_rest: ReadRest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata(_Source):
    """What is known of an event before it is in the stream.

    ``headers`` are short texts that interceptors put there, the trace context among them.
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
    """What is known of an event in the stream, without its payload.

    ``event`` is the name on the wire, ``produced_at`` the producer's clock (aware, UTC), ``key`` the position in the
    stream, whose milliseconds are the server's clock. ``correlation_id`` is shared by everything that one first event
    caused, ``causation_id`` is the event id of the event that was being handled when this one was produced.
    """

    key: EventKey

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Read, once and all together, the members that few handlers ask for (fast path, see decision 0005)."""
            if name not in _READ_LATER:
                return object.__getattribute__(self, name)
            for member, value in self._read_rest(self._document, self._stream).items():
                object.__setattr__(self, member, value)
            return object.__getattribute__(self, name)


_set_key, _set_event, _set_version, _set_stream, _set_document, _set_read_rest = (
    setter_of(Metadata, slot) for slot in ("key", "event", "version", "_stream", "_document", "_read_rest")
)


def metadata_read_later(  # noqa: PLR0917 - keyword arguments cost more, for every event
    key: EventKey, event: str, version: int, stream: StreamName, document: bytes, read_rest: ReadRest
) -> Metadata:
    """Return metadata whose other members are read from ``document`` by ``read_rest`` when one is asked for."""
    metadata = object.__new__(Metadata)
    _set_key(metadata, key)
    _set_event(metadata, event)
    _set_version(metadata, version)
    _set_stream(metadata, stream)
    _set_document(metadata, document)
    _set_read_rest(metadata, read_rest)
    return metadata
