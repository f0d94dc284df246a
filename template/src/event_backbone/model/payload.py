"""The payload of an event, references to it, and what a storage wants written with the stream entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

Payload = Mapping[str, bytes]
"""Argument name -> its JSON as UTF-8 bytes."""

REFERENCE_KEY = "[A-Za-z0-9_-]{1,64}"


class PayloadReference(NamedTuple):
    """Where a payload or a part of it is: the name of a storage, the event's id as text, and a key in the storage.

    The key is the event id in a storage that keeps payloads by it. A reference never names a bucket, a host or a path:
    the reader's settings say what the storage name means, so an entry cannot send a reader anywhere else.
    """

    storage: str
    event_id: str
    key: str


class HashWrite(NamedTuple):
    """A Redis hash to write in the same atomic step as the stream entry.

    ``purpose`` makes the key (``StreamName.key_of``). ``expires_after`` None means never. Existing fields are
    overwritten, so writing twice is like writing once.
    """

    purpose: str
    fields: Mapping[str, bytes]
    expires_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SavedPayload:
    """What a save returns: where the payload is, and what is still to be written with the entry."""

    references: tuple[PayloadReference, ...]
    writes: tuple[HashWrite, ...] = field(default=())


def payload_size_bytes(payload: Payload) -> int:
    """Return the size of all arguments, without their names."""
    return sum(map(len, payload.values()))
