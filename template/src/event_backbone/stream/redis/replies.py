"""Reads the server's replies into typed values."""

from collections.abc import Sequence
from typing import cast

from event_backbone.model import EventKey
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.stream.redis.attempt_notes import failures_and_ends_alone
from event_backbone.stream.values import Delivery, Entry

_PARTS_OF_AN_ENTRY = 4

RawEntry = tuple[bytes, Sequence[bytes]]
"""An entry id, and its fields: name, value, name, value, ..."""


def event_key(entry_id: bytes, partition: int) -> EventKey:
    """Read an entry id."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return EventKey(int(milliseconds), int(sequence), partition)


def entries_of(reply: object, partition: int) -> list[Entry]:
    """Read the reply of XRANGE."""
    raw = cast("list[RawEntry]", reply or [])
    return [Entry(event_key(entry_id, partition), _fields(flat)) for entry_id, flat in raw]


def entries_read(reply: object, partition: int) -> list[Entry]:
    """Read the reply of XREAD or XREADGROUP on one stream; nil means that there was nothing."""
    streams = cast("list[tuple[bytes, list[RawEntry]]]", reply or [])
    return [
        new_named_tuple(Entry, (event_key(entry_id, partition), _fields(flat)))
        for _, raw in streams
        for entry_id, flat in raw
    ]


def delivery_of(row: Sequence[object], partition: int) -> Delivery:
    """Read a delivery in a script's reply: entry id, fields, delivery count, and the note on its attempts."""
    entry_id, flat, attempt, note = cast("tuple[bytes, list[bytes], int, bytes | None]", tuple(row))
    failures, alone = failures_and_ends_alone(note, attempt)
    return Delivery(Entry(event_key(entry_id, partition), _fields(flat)), attempt, failures, alone)


def texts(reply: object) -> list[bytes]:
    """Read an array of strings."""
    return cast("list[bytes]", reply or [])


def _fields(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    if len(flat) == _PARTS_OF_AN_ENTRY:
        # As every entry has whose payload is elsewhere: fast path, see decision 0010.
        name, value, other_name, other = flat
        return {name: value, other_name: other}
    fields: dict[bytes, bytes] = {}
    for position in range(0, len(flat), 2):  # faster than by pairs
        fields[flat[position]] = flat[position + 1]
    return fields
