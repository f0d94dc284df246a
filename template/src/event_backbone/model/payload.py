"""The payload of an event, references to it, and what a storage wants written with the stream entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Literal, NamedTuple

from event_backbone.errors import (
    PayloadErased,
    PayloadForbidden,
    PayloadNotGiven,
    StorageError,
    StorageUnavailable,
)

Payload = Mapping[str, bytes]
"""Argument name -> its JSON as UTF-8 bytes."""

PartState = Literal["erased", "gone", "not-given"]
"""Why a part of a payload is missing."""


class PartialPayload(dict[str, bytes]):
    """The part of a split payload that is there.

    ``missing`` says why each other part is not, by the name of its storage: PayloadErased or PayloadGone.
    """

    __slots__ = ("missing",)

    def __init__(self, payload: Payload, missing: Mapping[str, StorageError]) -> None:
        """Keep the arguments that are there."""
        super().__init__(payload)
        self.missing = missing

    def states(self) -> dict[str, PartState]:
        """Return why each part is missing in one word, by the name of its storage."""
        return {name: _state_of(error) for name, error in self.missing.items()}

    def error(self) -> StorageError:
        """Return the error of an event that cannot do without what is missing: that of an erased part, if any is."""
        error = decisive_error(self.missing.values())
        return type(error)(*error.args)


_PRECEDENCE = (StorageUnavailable, PayloadForbidden, PayloadErased)


def decisive_error(errors: Iterable[StorageError]) -> StorageError:
    """Return the error that decides for an event of whose parts these are missing.

    An unavailable part comes first, as it may be there later; then a forbidden one, each try of which counts; then one
    that was erased, one that is gone, and one that was not given to this program.
    """
    return min(errors, key=_place)


def _state_of(error: StorageError) -> PartState:
    if isinstance(error, PayloadErased):
        return "erased"
    return "not-given" if isinstance(error, PayloadNotGiven) else "gone"


def _place(error: StorageError) -> int:
    places = [place for place, kind in enumerate(_PRECEDENCE) if isinstance(error, kind)]
    return places[0] if places else len(_PRECEDENCE) + isinstance(error, PayloadNotGiven)


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
    overwritten, so writing twice is like writing once. A first field without a name gets the entry's id as its name.
    """

    purpose: str
    fields: Mapping[str, bytes]
    expires_after: timedelta | None = None


class SavedPayload(NamedTuple):
    """What a save returns: where the payload is, and what is still to be written with the entry."""

    references: tuple[PayloadReference, ...]
    writes: tuple[HashWrite, ...] = ()


def payload_size_bytes(payload: Payload) -> int:
    """Return the size of all arguments, without their names."""
    return sum(map(len, payload.values()))
