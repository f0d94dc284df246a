"""Records: what S3 keeps of an event. One line of JSON that says all of it, without Redis."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, cast

from pydantic_core import from_json, to_json

from event_backbone.errors import DecodeError
from event_backbone.model.payload import Payload
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.payload import payload_from_json, payload_to_json, slice_compact
from event_backbone.wire.writing import MetadataMembers, first_members, optional_members

_ARGUMENTS = b',"arguments":{'  # within another member, quotes would be escaped, and no header's value is an object


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
    head = f"{{{first_members(record.metadata, record.size_bytes)}{optional_members(record.metadata)}{_place(stream)}"
    if record.part is not None:
        head += f',"part":"{record.part}","parts":{to_json(record.parts).decode()}'
    return b"".join((head.encode(), b',"arguments":', payload_to_json(record.payload), b"}"))


def read_record(line: bytes, event_id: str, stream: StreamName) -> Payload | None:
    """Return the arguments of a record; None when they were erased.

    Raises:
        DecodeError: it is not a record of this event in this stream.
    """
    try:
        members = cast("object", from_json(line))
        return _arguments_of(line, _checked(members, event_id, stream))
    except (ValueError, RecursionError) as error:
        raise DecodeError("The line is not a record.") from error


def erase_record(line: bytes, event_id: str, stream: StreamName) -> bytes:
    """Return a record without its arguments, of the same length.

    What is not the record of this event is replaced whole: by one that says that it was erased or, if the line is too
    short for that, by spaces.
    """
    try:
        kept = dict(_checked(from_json(line), event_id, stream))
    except (DecodeError, ValueError, RecursionError):
        kept = cast("dict[str, object]", from_json(f'{{"id":"{event_id}"{_place(stream)}}}'))
    kept.pop("arguments", None)
    erased = to_json({**kept, "erased": True})
    return erased.ljust(len(line)) if len(erased) <= len(line) else b" " * len(line)


def _checked(members: object, event_id: str, stream: StreamName) -> dict[str, object]:
    if not isinstance(members, dict):
        raise DecodeError("The line is not a record.")
    found = cast("dict[str, object]", members)
    if found.get("id") != event_id:
        raise DecodeError("The line is the record of another event.")
    if (found.get("uri"), found.get("environment"), found.get("partition")) != (
        stream.uri,
        stream.environment,
        stream.partition,
    ):
        raise DecodeError("The line is the record of another stream.")
    return found


def _arguments_of(line: bytes, members: dict[str, object]) -> Payload | None:
    """Return the arguments, each as it is written; None when they were erased."""
    if members.get("erased") is True:
        return None
    arguments = members.get("arguments")
    if not isinstance(arguments, dict):
        raise DecodeError("The record has no arguments.")
    names = cast("dict[str, object]", arguments)
    first = line.find(_ARGUMENTS)
    found = slice_compact(line, first + len(_ARGUMENTS) - 1, names) if names and first >= 0 else None
    if found is not None or not names:
        return found or {}
    return payload_from_json(payload_from_json(line)["arguments"])  # as another program may have written it


@lru_cache(maxsize=256)
def _place(stream: StreamName) -> str:
    return f',"uri":"{stream.uri}","environment":"{stream.environment}","partition":{stream.partition}'
