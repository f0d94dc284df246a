"""Event ids: UUIDv7, made once by the producer; an event's identity and idempotency key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, SafeUUID

import uuid_utils

from event_backbone.errors import ArgumentsInvalid, EventIdAhead, EventIdExpired
from event_backbone.model.event_key import EventKey
from event_backbone.model.fast_objects import setter_of

_VERSION = 7
_set_int, _set_is_safe = setter_of(UUID, "int"), setter_of(UUID, "is_safe")
_UNITS = (("days", 24 * 3600), ("h", 3600), ("min", 60))


def new_event_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562): 48 bits of milliseconds since 1970, then random bits."""
    return UUID(int=uuid_utils.uuid7().int)


def new_event_id_and_text() -> tuple[UUID, str]:
    """Return a new event id and its text (fast path, see decision 0005)."""
    made = uuid_utils.uuid7()
    event_id = UUID.__new__(UUID)  # its __init__ looks for the one argument that was given
    _set_int(event_id, made.int)
    _set_is_safe(event_id, SafeUUID.unknown)
    return event_id, str(made)


def event_id_time(event_id: UUID) -> datetime:
    """Return the time in a UUIDv7; raise ArgumentsInvalid for any other UUID."""
    if event_id.version != _VERSION:
        raise ArgumentsInvalid("An event id must be a UUIDv7, whose time says whether a duplicate would be noticed.")
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)


def keys_near(event_id: UUID, window: timedelta, partition: int = 0) -> tuple[EventKey, EventKey, EventKey]:
    """Return between which keys an event with this id is, if a stream accepts ids within ``window`` of their time.

    The first key at which it may be, the first of the id's own second, and the first at which it may no longer be.
    """
    second, around = (event_id.int >> 80) // 1000 * 1000, window // timedelta(milliseconds=1)
    start, end = max(0, second - around), second + 1000 + around
    return EventKey(start, 0, partition), EventKey(second, 0, partition), EventKey(end, 0, partition)


def event_id_error(event_id: UUID, now: float, window: timedelta) -> EventIdExpired | EventIdAhead:
    """Return the error for an event id whose time is further than ``window`` from ``now``, the server's Unix time."""
    behind_seconds = now - (event_id.int >> 80) / 1000
    accepted = f"and at most {_rounded(window.total_seconds())} is accepted"
    correct = "correct the clock of the machine that made it"
    if behind_seconds > 0:
        behind = f"The event id's time is {_rounded(behind_seconds)} behind the server's clock"
        return EventIdExpired(f"{behind}, {accepted}; {correct}, or use a new event id.")
    ahead = f"The event id's time is {_rounded(-behind_seconds)} ahead of the server's clock"
    return EventIdAhead(f"{ahead}, {accepted}; {correct}.")


def _rounded(seconds: float) -> str:
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
