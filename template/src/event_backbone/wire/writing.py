"""Writing the metadata of an entry (wire format 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from pydantic_core import to_json

from event_backbone.model.metadata import NewMetadata
from event_backbone.model.origin import Origin
from event_backbone.model.payload import PayloadReference
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.fields import EPOCH, MICROSECOND
from event_backbone.wire.origin import ORIGIN_MEMBER, write_origin


@dataclass(slots=True)
class MetadataMembers:
    """What the metadata of an entry says, except where its payload is: that is known once the payload is saved.

    ``NewMetadata`` says the same to interceptors; making one for every event costs more (fast path, see decision 0005).

    Args:
        event_id: the event's id.
        id_text: the same as text.
        event: the event's name on the wire.
        version: the event's version.
        at_microseconds: the producer's clock, since 1970.
        correlation_id: None for an event that correlates with itself, that is, begins a new correlation.
        causation_id: what caused the event, if that is known.
        partition_key: the value of the argument that is the event's key, if it has one.
        headers: short texts of interceptors, the trace context among them.
        origin: where a forwarded event comes from.
    """

    event_id: UUID
    id_text: str
    event: str
    version: int
    at_microseconds: int
    correlation_id: str | None
    causation_id: str | None
    partition_key: str | None
    headers: Mapping[str, str]
    origin: Origin | None = None

    def to_metadata(self, stream: StreamName) -> NewMetadata:
        """Return the same as interceptors see it."""
        return NewMetadata(
            event_id=self.event_id,
            event=self.event,
            version=self.version,
            produced_at=EPOCH + self.at_microseconds * MICROSECOND,
            uri=stream.uri,
            environment=stream.environment,
            correlation_id=self.id_text if self.correlation_id is None else self.correlation_id,
            causation_id=self.causation_id,
            partition_key=self.partition_key,
            headers=self.headers,
        )

    @classmethod
    def of_metadata(cls, metadata: NewMetadata) -> MetadataMembers:
        """Return what is written of metadata; its URI and environment are not, as the stream's own name has them."""
        return cls(
            metadata.event_id,
            str(metadata.event_id),
            metadata.event,
            metadata.version,
            (metadata.produced_at - EPOCH) // MICROSECOND,
            metadata.correlation_id,
            metadata.causation_id,
            metadata.partition_key,
            metadata.headers,
        )


def write_metadata(members: MetadataMembers, references: str, size_bytes: int) -> bytes:
    """Return the value of the entry's ``metadata`` field; ``references`` are from ``write_references``.

    ``size_bytes`` is the size of the payload. Members that have their default are left out.
    """
    return f'{{{first_members(members, size_bytes)},"payload":{references}{optional_members(members)}}}'.encode()


def first_members(members: MetadataMembers, size_bytes: int) -> str:
    """Return the members that every entry and record has, as JSON without braces."""
    kind = _event_and_version(members.event, members.version)
    return f'"id":"{members.id_text}",{kind},"at":{members.at_microseconds},"size":{size_bytes}'


def optional_members(members: MetadataMembers) -> str:
    """Return the members that differ from their defaults, each after a comma."""
    id_text, correlation_id = members.id_text, members.correlation_id
    nothing = correlation_id is members.causation_id is members.partition_key is None and members.origin is None
    if nothing and not members.headers:
        return ""  # of most events that no handler produces
    optional: dict[str, object] = {}
    if correlation_id is not None and correlation_id != id_text:
        optional["correlation"] = correlation_id
    if members.causation_id is not None:
        optional["causation"] = members.causation_id
    if members.partition_key is not None:
        optional["key"] = members.partition_key
    if members.origin is not None:
        optional[ORIGIN_MEMBER] = write_origin(members.origin)
    if members.headers:
        optional["headers"] = members.headers
    return f",{_members(optional)}" if optional else ""


def write_references(references: Sequence[PayloadReference]) -> str:
    """Return where the payload is, as JSON: the storage's name, with a key only if that is not the event id."""
    written = [each.storage if each.key == each.event_id else [each.storage, each.key] for each in references]
    return to_json(written).decode()


@lru_cache(maxsize=1024)
def _event_and_version(event: str, version: int) -> str:
    return _members({"event": event, "version": version})


def _members(document: Mapping[str, object]) -> str:
    """Return the members of a JSON object without its braces."""
    return to_json(document).decode()[1:-1]
