"""The metadata of an event, and its form in the stream entry (wire format 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, cast
from uuid import UUID

from pydantic_core import from_json, to_json

from event_backbone.errors import EntryUnreadable
from event_backbone.metadata.payload import PayloadReference

if TYPE_CHECKING:
    from event_backbone.metadata.event_key import EventKey
    from event_backbone.metadata.names import StreamName

WIRE_FORMAT = b"1"
FORMAT_FIELD = "wire"
METADATA_FIELD = "metadata"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_FORMAT_NAME, _METADATA_NAME = FORMAT_FIELD.encode(), METADATA_FIELD.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMetadata:
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
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata(NewMetadata):
    """What is known of an event in the stream, without its payload.

    ``event`` is the name on the wire, ``produced_at`` the producer's clock (aware, UTC), ``key`` the place in the
    stream, whose milliseconds are the server's clock. ``correlation_id`` is shared by all that one first event caused,
    ``causation_id`` is the event id of the event that was being handled when this one was produced.
    """

    key: EventKey


def encode_metadata(metadata: NewMetadata, references: tuple[PayloadReference, ...]) -> bytes:
    """Return the value of the entry's ``metadata`` field; absent members stand for their defaults.

    URI and environment are not in it: the stream's own name says them.
    """
    event_id = str(metadata.event_id)
    document: dict[str, object] = {
        "id": event_id,
        "event": metadata.event,
        "version": metadata.version,
        "at": _microseconds(metadata.produced_at),
        "payload": [
            reference.storage if reference.key == event_id else [reference.storage, reference.key]
            for reference in references
        ],
    }
    if metadata.correlation_id != event_id:
        document["correlation"] = metadata.correlation_id
    if metadata.causation_id is not None:
        document["causation"] = metadata.causation_id
    if metadata.partition_key is not None:
        document["key"] = metadata.partition_key
    if metadata.headers:
        document["headers"] = metadata.headers
    return to_json(document)


def decode_metadata(
    fields: Mapping[bytes, bytes], stream: StreamName, key: EventKey
) -> tuple[Metadata, tuple[PayloadReference, ...]]:
    """Read an entry's fields; raise EntryUnreadable when they are not of a wire format known here."""
    if fields.get(_FORMAT_NAME) != WIRE_FORMAT:
        raise EntryUnreadable(f"Entry {key} was not written by Event Backbone, or by a later version of it.")
    try:
        document = cast("dict[str, object]", from_json(fields[_METADATA_NAME]))
        return _metadata(document, stream, key), _references(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise EntryUnreadable(f"Entry {key} has metadata of another form than wire format 1.") from error


def _metadata(document: dict[str, object], stream: StreamName, key: EventKey) -> Metadata:
    event_id = _text(document["id"])
    causation, partition_key = document.get("causation"), document.get("key")
    headers = cast("dict[str, object]", document.get("headers", _NO_HEADERS))
    return Metadata(
        key=key,
        event_id=UUID(event_id),
        event=_text(document["event"]),
        version=_whole(document["version"]),
        produced_at=_EPOCH + timedelta(microseconds=_whole(document["at"])),
        uri=stream.uri,
        environment=stream.environment,
        correlation_id=_text(document.get("correlation", event_id)),
        causation_id=None if causation is None else _text(causation),
        partition_key=None if partition_key is None else _text(partition_key),
        headers={name: _text(value) for name, value in headers.items()} if headers else _NO_HEADERS,
    )


def _references(document: dict[str, object]) -> tuple[PayloadReference, ...]:
    event_id = _text(document["id"])
    return tuple([
        PayloadReference(reference, event_id)
        if isinstance(reference, str)
        else PayloadReference(*[_text(part) for part in cast("list[object]", reference)])
        for reference in cast("list[object]", document["payload"])
    ])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text expected")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("whole number expected")
    return value


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
