"""Payloads that expire must not do so before their events leave the stream (promise 10)."""

from __future__ import annotations

from datetime import timedelta

from event_backbone.errors import ConfigurationError
from event_backbone.retention.options import Retention
from event_backbone.storage import CachedStorage, RedisHashStorage, SplitStorage, Storage


def refuse_early_expiry(storage: Storage, retention: Retention | None) -> None:
    """Refuse a storage whose payloads expire before retention removes their events, or their dead letters.

    What may expire at any time is left alone: a cache, and the parts of a split other than its default.

    Raises:
        ConfigurationError: ``expires_after`` is shorter than ``max_age`` or ``dead_letters_for``, or one of these has
            no limit.
    """
    expires_after = _expires_after(storage)
    if expires_after is None or retention is None:
        return
    for name, kept in (("max_age", retention.max_age), ("dead_letters_for", retention.dead_letters_for)):
        if kept is None or kept > expires_after:
            raise ConfigurationError(
                f"{name} of Retention must be set, and be at most expires_after of RedisHashStorage: an event cannot "
                "be handled without its payload."
            )


def _expires_after(storage: Storage) -> timedelta | None:
    """Return after what time a whole payload expires; None if it does not."""
    while isinstance(storage, CachedStorage | SplitStorage):
        storage = storage.origin if isinstance(storage, CachedStorage) else storage.parts[0]
    return storage.expires_after if isinstance(storage, RedisHashStorage) else None
