"""The payload of an event, references to it, and what a storage wants written with the stream entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from event_backbone.errors import DecodeError
from event_backbone.model.slots import setter_of

Payload = Mapping[str, bytes]
"""Argument name -> its JSON as UTF-8 bytes."""

REFERENCE_KEY = "[A-Za-z0-9_-]{1,64}"
_REFERENCE_KEY = re.compile(REFERENCE_KEY)


@dataclass(frozen=True, slots=True)
class PayloadReference:
    """Where a payload or a part of it is: the name of a storage, and a key in it that is unique in the stream.

    It never names a bucket, a host or a path: the reader's settings say what the storage name means, so an entry cannot
    send a reader anywhere else.
    """

    storage: str
    key: str

    def __post_init__(self) -> None:
        """Refuse keys that could lead outside the stream."""
        if _REFERENCE_KEY.fullmatch(self.key) is None:
            raise DecodeError("A payload reference must have a key of 1 to 64 letters, digits, '-' and '_'.")


_set_storage, _set_key = setter_of(PayloadReference, "storage"), setter_of(PayloadReference, "key")


def trusted_reference(storage: str, key: str) -> PayloadReference:
    """Return a reference whose key is known to be valid, without checking it (fast path, see decision 0005)."""
    reference = object.__new__(PayloadReference)
    _set_storage(reference, storage)
    _set_key(reference, key)
    return reference


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
