"""What people write on the command line: event keys and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from event_backbone.cli.errors import USAGE_ERROR, fail
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey


def key_of(text: str) -> EventKey:
    """Read an event key; leave the command if it is not one."""
    try:
        return EventKey.parse(text)
    except ConfigurationError as error:
        fail(str(error), USAGE_ERROR)


def moment_of(text: str) -> datetime | None:
    """Read a time, in UTC unless it has a zone; return None if it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@overload
def bound_of(text: str) -> EventKey | datetime: ...


@overload
def bound_of(text: str | None) -> EventKey | datetime | None: ...


def bound_of(text: str | None) -> EventKey | datetime | None:
    """Read an event key or a time, None if there is none; leave the command if it is neither."""
    if text is None:
        return None
    try:
        return EventKey.parse(text)
    except ConfigurationError:
        moment = moment_of(text)
    if moment is None:
        fail(f"{text[:60]!r} is neither a key nor a time; give 1764041094123-0 or 2025-01-31T12:00:00Z.", USAGE_ERROR)
    return moment
