"""Event ids: UUIDv7, made once by the producer; an event's identity and idempotency key."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils

from event_backbone.errors import ArgumentsInvalid

_VERSION = 7


def new_event_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562): 48 bits of milliseconds since 1970, then random bits."""
    return UUID(int=uuid_utils.uuid7().int)


def new_event_id_and_text() -> tuple[UUID, str]:
    """Return a new event id, and the same as text: 0.7 µs less than writing the UUID."""
    made = uuid_utils.uuid7()
    return UUID(int=made.int), str(made)


def event_id_time(event_id: UUID) -> datetime:
    """Return the time within a UUIDv7; raise ArgumentsInvalid for any other UUID."""
    if event_id.version != _VERSION:
        raise ArgumentsInvalid("An event id must be a UUIDv7, whose time tells whether a twin can be recognised.")
    return datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)
