"""Reads records back as entries: what a stream needs of them when Redis has lost it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, NotRequired, TypedDict, cast

from pydantic_core import SchemaValidator, core_schema, to_json

from event_backbone.errors import DecodeError
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.model.payload import PayloadReference
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.payload import payload_from_json, payload_to_json
from event_backbone.wire.reading import ID_LENGTH, ID_MEMBER, metadata_fields
from event_backbone.wire.record import place_members, read_members
from event_backbone.wire.writing import write_references

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ARGUMENTS, _HEADERS = b',"arguments":{', b',"headers":{'
_NOT_METADATA = ("uri", "environment", "partition", "part", "parts", "arguments", "erased", "payload")
_names_another = re.compile(rb'"(?:%s)":' % "|".join(_NOT_METADATA).encode()).search


class LoggedRecord(NamedTuple):
    """A record, as a storage has it, of an event that the stream may have lost.

    Attributes:
        event_id: the event's id, as it is written; empty if the record was erased so that nothing is left of it.
        document: the metadata of an entry as JSON, without ``payload``: what ``entry_metadata`` takes. Members that a
            later version added are there. Empty if the record was erased so that no metadata is left of it.
        at_microseconds: the producer's clock, since 1970; without metadata, when the pack was begun.
        reference: leads to the payload, or to this part of it.
        part: the name of the storage of this part; None if the payload is not split.
        parts: the names of the storages of all parts.
        erased: whether the arguments were erased.
    """

    event_id: str
    document: bytes
    at_microseconds: int
    reference: PayloadReference
    part: str | None
    parts: tuple[str, ...]
    erased: bool


class _Metadata(TypedDict):
    id: str
    at: int


class _Parts(TypedDict):
    part: NotRequired[str]
    parts: NotRequired[tuple[str, ...]]


def _new_validator(fields: dict[str, core_schema.TypedDictField]) -> SchemaValidator:
    return SchemaValidator(core_schema.typed_dict_schema(fields))


def _parts_fields() -> dict[str, core_schema.TypedDictField]:
    text = core_schema.str_schema(strict=True)
    return {
        "part": core_schema.typed_dict_field(text, required=False),
        "parts": core_schema.typed_dict_field(core_schema.tuple_variable_schema(text), required=False),
    }


# They parse all that they are given, and raise ValueError: fast path, see decision 0010.
_read_metadata = cast("Callable[[bytes], _Metadata]", _new_validator(metadata_fields()).validate_json)
_read_parts = cast("Callable[[bytes], _Parts]", _new_validator(_parts_fields()).validate_json)
_check_object = cast("Callable[[bytes], object]", _new_validator({}).validate_json)


def read_logged_record(
    line: bytes, stream: StreamName, storage: str, key: str, pack_microseconds: int
) -> LoggedRecord | None:
    """Return what a line of a pack says; None if it is the record of another stream.

    ``storage`` and ``key`` are what a reference to the line says, ``pack_microseconds`` is when the pack was begun.

    Raises:
        DecodeError: it is damaged: not a record, and not what erasing leaves of one.
    """
    found = _read_canonical(line, stream, storage, key)
    if found is not None:
        return found
    if line.isspace():
        return LoggedRecord("", b"", pack_microseconds, PayloadReference(storage, "", key), None, (), erased=True)
    try:
        return _read_any(line, stream, storage, key, pack_microseconds)
    except ValueError:
        raise DecodeError("The line is not a record.") from None  # pydantic's error quotes the line


def id_of_record(line: bytes) -> str:
    """Return the event id at the beginning of a line, in lower case, without reading the rest.

    If the line is no record, or not as ``write_record`` writes it, it is something else, or empty.
    """
    if not line.startswith(b"{" + ID_MEMBER):
        return ""
    first = 1 + len(ID_MEMBER)
    return line[first : first + ID_LENGTH].decode("ascii", errors="replace").lower()


def entry_metadata(
    document: bytes, references: Sequence[PayloadReference], headers: Mapping[str, str] = _NO_HEADERS
) -> bytes:
    """Return the value of an entry's ``metadata`` field: a record's ``document``, where the payload is, and headers.

    ``headers`` are added to those of the event, and take the place of those with the same name.
    """
    if headers:
        document = _with_headers(document, headers)
    return b"".join((document[:-1], b',"payload":', write_references(references).encode(), b"}"))


def _read_canonical(line: bytes, stream: StreamName, storage: str, key: str) -> LoggedRecord | None:
    """Slice a record that is as ``write_record`` writes it; None if it is not, or damaged.

    Each slice is checked to be JSON by itself, so none of them ends or begins within another member.
    """
    place = _place(stream)
    end = line.find(place)
    first = line.find(_ARGUMENTS, end)
    if end < 0 or first < 0 or not line.endswith(b"}}"):
        return None
    document = line[:end] + b"}"
    if b"\\u" in document or _names_another(document):  # a name may be written with \\u
        return None
    try:
        part, parts = _parts(line[end + len(place) : first])
        metadata = _read_metadata(document)
        _check_object(line[first + len(_ARGUMENTS) - 1 : -1])
    except (ValueError, DecodeError):
        return None
    event_id = metadata["id"]
    reference = new_named_tuple(PayloadReference, (storage, event_id, key))
    return new_named_tuple(LoggedRecord, (event_id, document, metadata["at"], reference, part, parts, False))


def _read_any(line: bytes, stream: StreamName, storage: str, key: str, pack_microseconds: int) -> LoggedRecord | None:
    """Read a record however it is written; raise ValueError or DecodeError if it is none."""
    said, parts = read_members(line), _read_parts(line)
    if (said["uri"], said["environment"], said["partition"]) != (stream.uri, stream.environment, stream.partition):
        return None
    erased = said.get("erased") is True
    members = payload_from_json(line)
    if not erased and not members.get("arguments", b"").startswith(b"{"):
        raise DecodeError("The record has no arguments.")
    document = payload_to_json({name: value for name, value in members.items() if name not in _NOT_METADATA})
    try:
        at_microseconds = _read_metadata(document)["at"]
    except ValueError:
        if not erased:
            raise
        document, at_microseconds = b"", pack_microseconds
    reference = PayloadReference(storage, said["id"], key)
    return LoggedRecord(
        said["id"], document, at_microseconds, reference, parts.get("part"), parts.get("parts", ()), erased
    )


def _with_headers(document: bytes, headers: Mapping[str, str]) -> bytes:
    if b'"headers":' not in document:
        return b"".join((document[:-1], b',"headers":', to_json(headers), b"}"))
    own = document.find(_HEADERS)
    if own > 0 and document.endswith(b'"}}'):  # fast path, see decision 0010
        try:
            _check_object(document[own + len(_HEADERS) - 1 : -1])  # it is the last member, and not within another one
        except ValueError:
            pass
        else:
            return b"".join((document[:-2], b",", to_json(headers)[1:], b"}"))
    members = payload_from_json(document)
    written = members.get("headers", b"null")
    merged = {} if written == b"null" else payload_from_json(written)
    merged |= {name: to_json(value) for name, value in headers.items()}
    return payload_to_json({**members, "headers": payload_to_json(merged)})


@lru_cache(maxsize=256)
def _place(stream: StreamName) -> bytes:
    return place_members(stream).encode()


@lru_cache(maxsize=256)
def _parts(members: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Return what these members say of parts; raise ValueError if they are others."""
    if not members:
        return None, ()
    document = b"{" + members[1:] + b"}"
    if not members.startswith(b",") or payload_from_json(document).keys() != {"part", "parts"}:
        raise ValueError("other members")
    said = _read_parts(document)
    return said.get("part"), said.get("parts", ())
