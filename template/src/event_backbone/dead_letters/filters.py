"""Which dead letters are meant."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.stream.values import DeadLetter, key_before


class DeadLetterFilters(TypedDict, total=False):
    """Which dead letters are meant: those to which all applies that is given, and is not None.

    ``keys`` are those of the events. ``reason`` and ``event`` (the name on the wire) are compared whole, ``error`` with
    the name of the error's type, with or without its module. The age counts from the failure: ``older_than`` and
    ``newer_than``. ``erased`` means those whose payload was erased, for which the payloads are loaded.
    """

    keys: Collection[EventKey] | None
    reason: str | None
    event: str | None
    error: str | None
    older_than: timedelta | None
    newer_than: timedelta | None
    erased: bool


class Filter:
    """What is wanted of the dead letters, seen from now."""

    def __init__(self, wanted: DeadLetterFilters) -> None:
        """Raise ConfigurationError if an age is negative."""
        now = datetime.now(UTC)
        keys, older, newer = wanted.get("keys"), wanted.get("older_than"), wanted.get("newer_than")
        if min(older or timedelta(), newer or timedelta()) < timedelta():
            raise ConfigurationError("older_than and newer_than must not be negative.")
        self._keys = None if keys is None else frozenset(keys)
        self._reason, self._error, self.event = wanted.get("reason"), wanted.get("error"), wanted.get("event")
        self._until = None if older is None else now - older
        self._since = None if newer is None else now - newer
        self.erased = wanted.get("erased", False)

    @property
    def after(self) -> str | None:
        """The id after which to begin."""
        return None if self._since is None else str(key_before(self._since))

    def in_time(self, letter: DeadLetter) -> bool:
        """Whether it is not too young; those that are too old come before ``after``."""
        return self._until is None or letter.failed_at <= self._until

    def matches(self, letter: DeadLetter) -> bool:
        """Whether all applies that needs neither metadata nor payload."""
        return (
            (self._keys is None or letter.entry.key in self._keys)
            and self._reason in {None, letter.reason}
            and (self._error is None or _same_type(self._error, letter.error))
        )


def _same_type(wanted: str, error: str) -> bool:
    """Whether two names of a type are the same, or one is the other without its module."""
    return f".{wanted}".endswith(f".{error}") or f".{error}".endswith(f".{wanted}")
