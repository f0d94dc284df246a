"""Archived events: what a segment of the archive keeps of an event. One line of JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple, cast

from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from event_backbone.errors import DecodeError
from event_backbone.model.event_key import EventKey
from event_backbone.model.payload import Payload
from event_backbone.model.stream_name import StreamName
from event_backbone.wire.payload import WrittenPayload, payload_from_json, payload_to_json
from event_backbone.wire.reading import ID_LENGTH, ID_MEMBER, read_event_id
from event_backbone.wire.record import place_members

Missing = Literal["erased", "gone"]
"""Why the archive has no copy of a payload, or of a part of it, that it would have copied."""

_NONE_MISSING: Mapping[str, Missing] = MappingProxyType({})
_NO_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType({})

_check_json = cast("Callable[[bytes], object]", SchemaValidator(core_schema.typed_dict_schema({})).validate_json)
"""Parses JSON without making objects of it; raises ValueError, which quotes it, when it is not an object."""

_KEY = b'{"event_key":"'
_ARGUMENTS = b',"arguments":{'
_OWN_MEMBERS = ("event_key", "uri", "environment", "partition", "missing", "parts", "arguments")
_has_own_member = re.compile(rb'"(?:%s)"' % "|".join(_OWN_MEMBERS).encode()).search


class ArchivedEvent(NamedTuple):
    """An event as the archive has it.

    Attributes:
        key: its position in the stream.
        document: the metadata of its entry, as it was there; it says where the payload is.
        payload: the arguments that were copied; None if none were.
        missing: why the payload, or a part of it, could not be copied, by the name of its storage.
        parts: which of the arguments belong to which part, by the name of its storage; empty unless the event is split.
    """

    key: EventKey
    document: bytes
    payload: Payload | None = None
    missing: Mapping[str, Missing] = _NONE_MISSING
    parts: Mapping[str, tuple[str, ...]] = _NO_PARTS

    def without(self, storages: Collection[str]) -> ArchivedEvent:
        """Return the event without the copies of what these storages had, as it was erased; "" is an inline payload."""
        missing: dict[str, Missing] = {**self.missing, **dict.fromkeys(storages, "erased")}
        if not self.parts:
            return self._replace(payload=None, missing=missing)
        parts = {name: arguments for name, arguments in self.parts.items() if name not in storages}
        kept = {argument for arguments in parts.values() for argument in arguments}
        payload = {name: value for name, value in (self.payload or {}).items() if name in kept} if parts else None
        return self._replace(payload=payload, missing=missing, parts=parts)


def write_archived(event: ArchivedEvent, stream: StreamName) -> bytes:
    """Return the event as one line of JSON, without a newline. Its ``document`` must be JSON, as of all that was read.

    Raises:
        DecodeError: an argument is not JSON, so whatever it is, another program wrote it.
    """
    key, document, payload, missing, parts = event
    line = [_KEY, f"{key.milliseconds}-{key.sequence}".encode(), _place(stream), _members_of(document)]
    if missing:
        line += (b',"missing":', to_json(missing))
    if parts:
        line += (b',"parts":', to_json(parts))
    if payload is not None:
        arguments = payload_to_json(payload)
        if not (isinstance(payload, WrittenPayload) or _is_object(arguments)):
            raise DecodeError(f"Event {key} has arguments that are not JSON.")
        line += (b',"arguments":', arguments)
    line.append(b"}")
    written = b"".join(line)
    # Within JSON these can only be white space, as another program may write it.
    return written.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in written or b"\r" in written else written


def read_archived(line: bytes, stream: StreamName) -> ArchivedEvent:
    """Read a line.

    Raises:
        DecodeError: it is not an archived event of this stream.
    """
    found = _slice(line, stream)
    if found is not None:
        key, document, first = found
        arguments = line[first:-1]
        if line.endswith(b"}}") and _is_object(arguments):  # so it is no member of another member
            return ArchivedEvent(key, document, WrittenPayload(arguments))
    return _read_whole(line, stream)


def read_archived_metadata(line: bytes, stream: StreamName) -> tuple[EventKey, bytes]:
    """Return an archived event's key and the metadata of its entry, without looking at its arguments.

    Raises DecodeError as ``read_archived`` does.
    """
    found = _slice(line, stream)
    if found is not None:
        return found[:2]
    event = _read_whole(line, stream)
    return event.key, event.document


def read_archived_ids(line: bytes, stream: StreamName) -> tuple[EventKey, str]:
    """Return an archived event's key, and its event id as ``read_event_id`` does.

    Raises:
        DecodeError: it is not an archived event of this stream.
        ValueError: it has no event id.
    """
    place = _place(stream) + ID_MEMBER
    end = line.find(b'"', len(_KEY))
    first = end + len(place)
    last = first + ID_LENGTH
    if line.startswith(_KEY) and line.startswith(place, end) and line.startswith(b'",', last):  # fast path, see 0010
        return read_key(line[len(_KEY) : end], stream), line[first:last].decode("ascii").lower()
    key, document = read_archived_metadata(line, stream)
    return key, read_event_id(document)


def key_of_archived(line: bytes) -> bytes:
    """Return the event key at the beginning of a line, as text, without reading the rest."""
    return line[len(_KEY) : line.find(b'"', len(_KEY))]


def _members_of(document: bytes) -> bytes:
    """Return the members of the metadata, as they are; without those that a line has itself, which mean nothing."""
    document = document.strip()
    if b"\\u" in document or _has_own_member(document):  # a name may be written with \\u
        members = cast("dict[str, object]", from_json(document))
        if not members.keys().isdisjoint(_OWN_MEMBERS):
            document = to_json({name: value for name, value in members.items() if name not in _OWN_MEMBERS})
    return document[1:-1]


def _is_object(document: bytes) -> bool:
    try:
        _check_json(document)
    except ValueError:
        return False
    return True


def _slice(line: bytes, stream: StreamName) -> tuple[EventKey, bytes, int] | None:
    """Return key and metadata, and where the arguments begin, of a line with all arguments: fast path, decision 0010.

    None says that it may be another line.
    """
    place = _place(stream)
    end = line.find(b'"', len(_KEY))
    first = end + len(place)
    if not (line.startswith(_KEY) and line.startswith(place, end)):
        return None
    arguments = line.find(_ARGUMENTS, first)
    document = line[first:arguments]
    if arguments < 0 or b'"missing":' in document or b'"parts":' in document:
        return None
    return read_key(line[len(_KEY) : end], stream), b"{" + document + b"}", arguments + len(_ARGUMENTS) - 1


def _read_whole(line: bytes, stream: StreamName) -> ArchivedEvent:
    try:
        members = cast("dict[str, object]", from_json(line))
        found = (members["uri"], members["environment"], members["partition"])
        key = read_key(str(members["event_key"]).encode(), stream)
    except (ValueError, KeyError, TypeError):
        raise DecodeError("The line is not an archived event.") from None  # pydantic's error quotes the line
    if found != stream:
        raise DecodeError("The line is an archived event of another stream.")
    written = payload_from_json(line)
    payload = payload_from_json(written["arguments"]) if "arguments" in written else None
    missing = cast("dict[str, Missing]", members.get("missing", {}))
    parts = {name: tuple(names) for name, names in cast("dict[str, list[str]]", members.get("parts", {})).items()}
    document = payload_to_json({name: value for name, value in written.items() if name not in _OWN_MEMBERS})
    return ArchivedEvent(key, document, payload, missing, parts)


def read_key(text: bytes, stream: StreamName) -> EventKey:
    """Read an event key as it is in a line; raise DecodeError if it is not one."""
    milliseconds, _, sequence = text.partition(b"-")
    try:
        return EventKey(int(milliseconds), int(sequence), stream.partition)
    except ValueError:
        raise DecodeError("The line has no event key.") from None


@lru_cache(maxsize=256)
def _place(stream: StreamName) -> bytes:
    """Return what is between the event key and the members of the metadata."""
    return f'"{place_members(stream)},'.encode()
