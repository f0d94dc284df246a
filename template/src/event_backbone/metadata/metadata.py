"""The metadata of an event, and its form in the stream entry (wire format 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.errors import EntryUnreadable
from event_backbone.metadata.payload import PayloadReference
from event_backbone.metadata.reading import (
    EPOCH,
    MICROSECOND,
    NO_HEADERS,
    read_document,
    references_of,
    rest_of,
)
from event_backbone.metadata.slots import setter_of
from event_backbone.metadata.writing import MetadataText, kind_json, references_json, tail_json

if TYPE_CHECKING:
    from event_backbone.metadata.event_key import EventKey
    from event_backbone.metadata.names import StreamName

WIRE_FORMAT = b"1"
FORMAT_FIELD = "wire"
METADATA_FIELD = "metadata"
_FORMAT_NAME, _METADATA_NAME = FORMAT_FIELD.encode(), METADATA_FIELD.encode()
_SPELLED_OUT_LATER = frozenset(
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


class _Readable:
    """What metadata was read from: slots beside the members of the dataclass, no members themselves."""

    __slots__ = ("_stream", "_written")

    _written: bytes
    _stream: StreamName


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata(_Readable):
    """What is known of an event before it stands in the stream.

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

    ``event`` is the name on the wire, ``produced_at`` the producer's clock (aware, UTC), ``key`` the place in the
    stream, whose milliseconds are the server's clock. ``correlation_id`` is shared by all that one first event caused,
    ``causation_id`` is the event id of the event that was being handled when this one was produced.
    """

    key: EventKey

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Spell out, once and all together, what was not when the metadata was read (4 of 6 µs an event)."""
            if name not in _SPELLED_OUT_LATER:
                return object.__getattribute__(self, name)
            for member, value in rest_of(read_document(self._written), self._stream).items():
                object.__setattr__(self, member, value)
            return object.__getattribute__(self, name)


_set_key, _set_event, _set_version, _set_stream, _set_written = (
    setter_of(Metadata, slot) for slot in ("key", "event", "version", "_stream", "_written")
)


def encode_metadata(metadata: NewMetadata, references: tuple[PayloadReference, ...]) -> bytes:
    """Return the value of the entry's ``metadata`` field; absent members stand for their defaults.

    URI and environment are not in it: the stream's own name says them.
    """
    text = metadata_text(metadata)
    return text.encode(references_json(references, text.id_text))


def metadata_text(metadata: NewMetadata) -> MetadataText:
    """Return the metadata as text that still waits for its references."""
    id_text = str(metadata.event_id)
    tail = tail_json(id_text, metadata.correlation_id, metadata.causation_id, metadata.partition_key, metadata.headers)
    kind = kind_json(metadata.event, metadata.version)
    return MetadataText(metadata.event_id, id_text, kind, _microseconds(metadata.produced_at), tail)


def decode_metadata(
    fields: Mapping[bytes, bytes], stream: StreamName, key: EventKey
) -> tuple[Metadata, tuple[PayloadReference, ...]]:
    """Read an entry's fields; raise EntryUnreadable when they are not of a wire format known here."""
    if fields.get(_FORMAT_NAME) != WIRE_FORMAT:
        raise EntryUnreadable(f"Entry {key} was not written by Event Backbone, or by a later version of it.")
    try:
        written = fields[_METADATA_NAME]
        document = read_document(written)
    except (KeyError, ValueError):
        raise EntryUnreadable(f"Entry {key} has metadata of another form than wire format 1.") from None
    metadata = object.__new__(Metadata)
    _set_key(metadata, key)
    _set_event(metadata, document["event"])
    _set_version(metadata, document["version"])
    _set_stream(metadata, stream)
    _set_written(metadata, written)
    return metadata, references_of(document)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
