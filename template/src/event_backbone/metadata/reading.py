"""Reading the metadata of an entry (wire format 1): checked at once, spelled out when somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast
from uuid import UUID

from pydantic_core import SchemaValidator, core_schema

from event_backbone.metadata.payload import REFERENCE_KEY, PayloadReference, trusted_reference

if TYPE_CHECKING:
    from event_backbone.metadata.names import StreamName

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Document(TypedDict):
    """What the ``metadata`` field of an entry holds; absent members stand for their defaults."""

    id: str
    event: str
    version: int
    at: int
    payload: list[str | tuple[str, str]]
    correlation: NotRequired[str]
    causation: NotRequired[str | None]
    key: NotRequired[str | None]
    headers: NotRequired[dict[str, str] | None]


def _new_validator() -> SchemaValidator:
    """Return what parses and checks in one call: as fast as parsing alone and three checks in Python."""
    text, whole = core_schema.str_schema(strict=True), core_schema.int_schema(strict=True)
    event_id = core_schema.str_schema(strict=True, pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
    key = core_schema.str_schema(strict=True, pattern=f"^{REFERENCE_KEY}$")
    clock = core_schema.int_schema(
        strict=True,
        ge=(datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND,
        le=(datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND,
    )
    reference = core_schema.union_schema([text, core_schema.tuple_schema([text, key])])
    headers = core_schema.nullable_schema(core_schema.dict_schema(text, text))
    members = {
        "id": event_id,
        "event": text,
        "version": whole,
        "at": clock,
        "payload": core_schema.list_schema(reference),
    }
    optional = {
        "correlation": text,
        "causation": core_schema.nullable_schema(text),
        "key": core_schema.nullable_schema(text),
        "headers": headers,
    }
    return SchemaValidator(
        core_schema.typed_dict_schema(
            {
                **{name: core_schema.typed_dict_field(schema) for name, schema in members.items()},
                **{name: core_schema.typed_dict_field(schema, required=False) for name, schema in optional.items()},
            }
        )
    )


read_document = cast("Callable[[bytes], Document]", _new_validator().validate_json)
"""Parses and checks the value of the field; raises ValueError (pydantic's, which quotes it) when it does not fit."""


def references_of(document: Document) -> tuple[PayloadReference, ...]:
    """Return where the payload lies."""
    event_id, references = document["id"], document["payload"]
    if len(references) == 1 and isinstance(references[0], str):
        return (trusted_reference(references[0], event_id),)
    return tuple(
        [
            trusted_reference(each, event_id) if isinstance(each, str) else trusted_reference(*each)
            for each in references
        ]
    )


def rest_of(document: Document, stream: StreamName) -> dict[str, object]:
    """Return what few handlers ask for, by its name in Metadata: making it costs more than all the checks."""
    return {
        "event_id": UUID(document["id"]),
        "produced_at": EPOCH + timedelta(microseconds=document["at"]),
        "uri": stream.uri,
        "environment": stream.environment,
        "correlation_id": document.get("correlation", document["id"]),
        "causation_id": document.get("causation"),
        "partition_key": document.get("key"),
        "headers": document.get("headers") or NO_HEADERS,
    }
