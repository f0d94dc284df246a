"""Reads an entry of wire format 1: checked at once, its less used metadata read when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NotRequired, TypedDict, cast
from uuid import UUID

from pydantic_core import SchemaValidator, core_schema

from event_backbone.errors import EntryUnreadable, RequirementUnknown
from event_backbone.model.event_key import EventKey
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.model.metadata import NO_HEADERS, Metadata, metadata_read_later
from event_backbone.model.payload import REFERENCE_KEY, Payload, PayloadReference
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.fields import (
    EPOCH,
    FORMAT_FIELD,
    INLINE_PREFIX,
    METADATA_FIELD,
    MICROSECOND,
    WIRE_FORMAT,
)
from event_backbone.wire.origin import ORIGIN_MEMBER, WrittenHop, origin_schema, read_origin

_FORMAT_NAME, _METADATA_NAME, _INLINE = FORMAT_FIELD.encode(), METADATA_FIELD.encode(), INLINE_PREFIX.encode()
ID_MEMBER, ID_LENGTH = b'"id":"', 36
"""How metadata begins that we write, and how long an event id is."""

_ID = b"{" + ID_MEMBER
_AFTER_ID = len(_ID) + ID_LENGTH
_KNOWN_REQUIREMENTS = frozenset[str]()


class Document(TypedDict):
    """What the ``metadata`` field of an entry holds; absent members have their defaults."""

    id: str
    event: str
    version: int
    at: int
    size: int
    payload: list[str | tuple[str, str]]
    correlation: NotRequired[str]
    causation: NotRequired[str | None]
    key: NotRequired[str | None]
    headers: NotRequired[dict[str, str] | None]
    requires: NotRequired[list[str] | None]
    origin: NotRequired[list[WrittenHop] | None]


def metadata_fields() -> dict[str, core_schema.TypedDictField]:
    """Return the schema of each member of a document but ``payload``."""
    text, whole = core_schema.str_schema(strict=True), core_schema.int_schema(strict=True)
    event_id = core_schema.str_schema(strict=True, pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
    clock = core_schema.int_schema(
        strict=True,
        ge=(datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND,
        le=(datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND,
    )
    members = {
        "id": event_id,
        "event": text,
        "version": whole,
        "at": clock,
        "size": core_schema.int_schema(strict=True, ge=0),
    }
    optional = {
        "correlation": text,
        "causation": core_schema.nullable_schema(text),
        "key": core_schema.nullable_schema(text),
        "headers": core_schema.nullable_schema(core_schema.dict_schema(text, text)),
        "requires": core_schema.nullable_schema(core_schema.list_schema(text)),
        ORIGIN_MEMBER: origin_schema(),
    }
    return {
        **{name: core_schema.typed_dict_field(schema) for name, schema in members.items()},
        **{name: core_schema.typed_dict_field(schema, required=False) for name, schema in optional.items()},
    }


def _new_validator() -> SchemaValidator:
    """Return a validator that parses and checks in one call: fast path, see decision 0010."""
    text = core_schema.str_schema(strict=True)
    key = core_schema.str_schema(strict=True, pattern=f"^{REFERENCE_KEY}$")
    reference = core_schema.union_schema([text, core_schema.tuple_schema([text, key])], mode="left_to_right")
    payload = core_schema.typed_dict_field(core_schema.list_schema(reference))
    return SchemaValidator(core_schema.typed_dict_schema({**metadata_fields(), "payload": payload}))


_read_document = cast("Callable[[bytes], Document]", _new_validator().validate_json)
"""Parses and checks the value of the field; raises ValueError (pydantic's, which quotes it) when it is not valid."""


def read_entry(
    fields: Mapping[bytes, bytes], stream: StreamName, key: EventKey
) -> tuple[Metadata, tuple[PayloadReference, ...]]:
    """Return an entry's metadata and the references to its payload; none when the payload is in the entry itself.

    Raises:
        EntryUnreadable: the entry is not in wire format 1.
        RequirementUnknown: a later version wrote the entry, and reading it requires what is not known here.
    """
    written, document = _document_of(fields, key)
    metadata = metadata_read_later(
        key, document["event"], document["version"], document["size"], stream, written, _rest_of
    )
    return metadata, _references_of(document)


def read_references(fields: Mapping[bytes, bytes], key: EventKey) -> tuple[tuple[PayloadReference, ...], int]:
    """Return the references to an entry's payload, and its size in bytes, without making its metadata.

    Raises as ``read_entry`` does.
    """
    _, document = _document_of(fields, key)
    return _references_of(document), document["size"]


def _document_of(fields: Mapping[bytes, bytes], key: EventKey) -> tuple[bytes, Document]:
    if fields.get(_FORMAT_NAME) != WIRE_FORMAT:
        raise EntryUnreadable(
            f"Entry {key} is not in a known wire format; another program or a later version wrote it."
        )
    try:
        written = fields[_METADATA_NAME]
        document = _read_document(written)
    except (KeyError, ValueError):
        raise EntryUnreadable(f"Entry {key} has metadata that is not in wire format 1.") from None
    if document.get("requires"):
        _check_requirements(document)
    return written, document


def is_inline(name: bytes) -> bool:
    """Return whether a field of an entry is an argument of an inline payload."""
    return name.startswith(_INLINE)


def read_inline(fields: Mapping[bytes, bytes]) -> Payload:
    """Return the payload of an entry that has it inline."""
    return {name: fields[field] for field, name in _arguments_among(tuple(fields))}


@lru_cache(maxsize=256)  # fast path, see decision 0010
def _arguments_among(fields: tuple[bytes, ...]) -> tuple[tuple[bytes, str], ...]:
    """Return which of the fields of an entry hold an argument, each with the argument's name."""
    names = [(field, field.removeprefix(_INLINE).decode(errors="replace")) for field in fields if is_inline(field)]
    return tuple([(field, name) for field, name in names if name])


def _check_requirements(document: Document) -> None:
    unknown = sorted({*(document.get("requires") or ())} - _KNOWN_REQUIREMENTS)
    if unknown:
        raise RequirementUnknown(
            f"An event requires {', '.join(map(repr, unknown))[:200]}, which this version of event_backbone does not "
            "know; update it."
        )


def has_event_id(fields: Mapping[bytes, bytes], event_id: UUID) -> bool:
    """Return whether an entry has this event id; an entry that cannot be read has none."""
    written = fields.get(_METADATA_NAME, b"")
    if str(event_id).encode() not in written.lower():  # as most entries of a long search
        return False
    try:
        return UUID(_read_document(written)["id"]) == event_id
    except ValueError:
        return False


def read_event_id(document: bytes) -> str:
    """Return the event id in an entry's metadata, as text in lower case.

    Raises:
        ValueError: it is not metadata of wire format 1.
    """
    if document.startswith(_ID) and document.startswith(b'",', _AFTER_ID):  # as ours is: fast path, see decision 0010
        return document[len(_ID) : _AFTER_ID].decode("ascii").lower()
    return _read_document(document)["id"].lower()


def _references_of(document: Document) -> tuple[PayloadReference, ...]:
    """Return the references to the payload."""
    event_id, references = document["id"], document["payload"]
    if len(references) == 1 and isinstance(references[0], str):
        return (new_named_tuple(PayloadReference, (references[0], event_id, event_id)),)
    return tuple(
        [
            PayloadReference(each, event_id, event_id)
            if isinstance(each, str)
            else PayloadReference(each[0], event_id, each[1])
            for each in references
        ]
    )


def _rest_of(written: bytes, stream: StreamName) -> dict[str, object]:
    """Return what few handlers ask for, by its name in Metadata: made late, as a fast path (see decision 0010)."""
    document = _read_document(written)
    return {
        "event_id": UUID(document["id"]),
        "produced_at": EPOCH + timedelta(microseconds=document["at"]),
        "uri": stream.uri,
        "environment": stream.environment,
        "correlation_id": document.get("correlation", document["id"]),
        "causation_id": document.get("causation"),
        "partition_key": document.get("key"),
        "headers": document.get("headers") or NO_HEADERS,
        "origin": read_origin(document.get("origin")),
    }
