"""Records: what S3 keeps of an event. One line of JSON that says all of it, without Redis."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, NotRequired, TypedDict, cast

from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from event_backbone.errors import DecodeError
from event_backbone.model.payload import Payload
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.payload import WrittenPayload, payload_from_json, payload_to_json, slice_compact
from event_backbone.wire.writing import MetadataMembers, first_members, optional_members

_ARGUMENTS = b',"arguments":{'  # within another member, quotes would be escaped, and no header's value is an object


class Members(TypedDict):
    """What identifies a record."""

    id: str
    uri: str
    environment: str
    partition: int
    erased: NotRequired[object]


def _new_validator() -> SchemaValidator:
    """Return a validator that parses all of a line, and makes objects of these members only."""
    field, text = core_schema.typed_dict_field, core_schema.str_schema(strict=True)
    return SchemaValidator(
        core_schema.typed_dict_schema(
            {
                "id": field(text),
                "uri": field(text),
                "environment": field(text),
                "partition": field(core_schema.int_schema(strict=True)),
                "erased": field(core_schema.any_schema(), required=False),
            }
        )
    )


read_members = cast("Callable[[bytes], Members]", _new_validator().validate_json)  # fast path, see decision 0010
"""Returns what identifies a record; raises ValueError (pydantic's, which quotes the line) when it is none."""

_check_object = cast("Callable[[bytes], object]", SchemaValidator(core_schema.typed_dict_schema({})).validate_json)
"""Parses JSON without making objects of it; raises ValueError when it is not an object."""


class Record(NamedTuple):
    """A payload, or one part of it, and what is known of its event when it is saved.

    Attributes:
        metadata: the event's metadata.
        payload: the arguments, or those of one part.
        payload_id: the key in storages that keep payloads by an id: the event id, except of events produced once.
        size_bytes: the size of the event's whole payload.
        part: the name of the storage of this part; None if the payload is not split.
        parts: the names of the storages of all parts.
    """

    metadata: MetadataMembers
    payload: Payload
    payload_id: str
    size_bytes: int
    part: str | None = None
    parts: tuple[str, ...] = ()


def write_record(record: Record, stream: StreamName) -> bytes:
    """Return the record as one line of JSON, without a newline."""
    head = "{" + first_members(record.metadata, record.size_bytes)
    head += optional_members(record.metadata) + place_members(stream)
    if record.part is not None:
        head += f',"part":"{record.part}","parts":{to_json(record.parts).decode()}'
    return b"".join((head.encode(), b',"arguments":', payload_to_json(record.payload), b"}"))


def read_record(line: bytes, event_id: str, stream: StreamName, *, split: bool = True) -> Payload | None:
    """Return the arguments of a record; None when they were erased.

    Without ``split`` they are split only when somebody asks for one, if the record is as ``write_record`` writes it.

    Raises:
        DecodeError: it is not a record of this event in this stream.
    """
    written = None if split else _written_arguments(line, event_id, stream)
    if written is not None:
        return written
    try:
        members = read_members(line)
    except ValueError:
        raise DecodeError("The line is not a record.") from None  # pydantic's error quotes the line
    _check(members, event_id, stream)
    return None if members.get("erased") is True else _arguments_of(line)


def erase_record(line: bytes, event_id: str, stream: StreamName) -> bytes:
    """Return a record without its arguments, of the same length.

    What is not the record of this event is replaced whole: by one that says that it was erased or, if the line is too
    short for that, by spaces.
    """
    try:
        _check(read_members(line), event_id, stream)
        kept = cast("dict[str, object]", from_json(line))
    except (DecodeError, ValueError):
        place = {"uri": stream.uri, "environment": stream.environment, "partition": stream.partition}
        kept = {"id": event_id, **place}
    kept.pop("arguments", None)
    erased = to_json({**kept, "erased": True})
    return erased.ljust(len(line)) if len(erased) <= len(line) else b" " * len(line)


def _check(members: Members, event_id: str, stream: StreamName) -> None:
    if members["id"] != event_id:
        raise DecodeError("The line is the record of another event.")
    if (
        members["partition"] != stream.partition
        or members["uri"] != stream.uri
        or members["environment"] != stream.environment
    ):
        raise DecodeError("The line is the record of another stream.")


def _written_arguments(line: bytes, event_id: str, stream: StreamName) -> Payload | None:
    """Slice the arguments out of a whole record that is as ``write_record`` writes it: fast path, see decision 0010.

    Each of both slices is checked to be JSON by itself, so the one between them is no member of another member.
    """
    place = _place_before_arguments(stream)
    end = line.find(place)
    head = line[:end]
    if end < 0 or not (line.endswith(b"}}") and head.startswith(f'{{"id":"{event_id}",'.encode())):
        return None
    if b"\\u" in head or b'"erased"' in head or head.find(b'"id"', 2) > 0:  # a name may be written with \\u
        return None
    arguments = line[end + len(place) - 1 : -1]
    try:
        _check_object(head + b"}")
        _check_object(arguments)
    except ValueError:
        return None
    return WrittenPayload(arguments)


def _arguments_of(line: bytes) -> Payload:
    """Return the arguments, each as it is written, of a line that is JSON."""
    first = line.find(_ARGUMENTS)
    found = slice_compact(line, first + len(_ARGUMENTS) - 1) if first >= 0 else None
    if found is not None:
        return found
    arguments = payload_from_json(line).get("arguments")  # as another program may have written it
    if arguments is None:
        raise DecodeError("The record has no arguments.")
    return payload_from_json(arguments)


@lru_cache(maxsize=256)
def place_members(stream: StreamName) -> str:
    """Return the members that say which stream a record belongs to, each after a comma."""
    return f',"uri":"{stream.uri}","environment":"{stream.environment}","partition":{stream.partition}'


@lru_cache(maxsize=256)
def _place_before_arguments(stream: StreamName) -> bytes:
    return place_members(stream).encode() + _ARGUMENTS
