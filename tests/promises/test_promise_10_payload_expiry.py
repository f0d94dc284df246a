"""Promise 10: payloads do not expire before their events and dead letters are removed."""

from datetime import timedelta

import pytest

from event_backbone import Backbone, ConfigurationError, Retention
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    Storage,
)

A_DAY = timedelta(days=1)
A_WEEK = timedelta(days=7)


def redis(days: int | None = 7) -> RedisHashStorage:
    """Return a storage whose payloads expire after so many days, or never."""
    return RedisHashStorage(None if days is None else timedelta(days=days))


def s3() -> S3Storage:
    """Return a storage that nothing connects."""
    return S3Storage(S3Options("events"))


@pytest.mark.parametrize(
    ("storage", "retention", "longer"),
    [
        (redis(), Retention(max_age=A_WEEK, dead_letters_for=A_WEEK), None),
        (redis(days=6), Retention(max_age=A_WEEK, dead_letters_for=A_DAY), "max_age"),
        (redis(days=6), Retention(max_age=A_DAY, dead_letters_for=A_WEEK), "dead_letters_for"),
        (redis(), Retention(max_bytes=1, dead_letters_for=A_WEEK), "max_age"),
        (redis(), Retention(max_age=A_WEEK, dead_letters_for=None), "dead_letters_for"),
        (redis(days=None), Retention(max_age=A_WEEK, dead_letters_for=None), None),
        (CachedStorage(s3(), redis(days=1)), Retention(max_age=A_WEEK), None),
        (CachedStorage(redis(days=1), MemoryStorage()), Retention(max_age=A_WEEK), "max_age"),
        (SplitStorage(s3(), {"email": redis(days=1)}), Retention(max_age=A_WEEK), None),
        (SplitStorage(redis(days=1), {"email": s3()}), Retention(max_age=A_WEEK), "max_age"),
    ],
)
def test_promise_10_payloads_outlive_their_events(storage: Storage, retention: Retention, longer: str | None) -> None:
    """A storage whose payloads expire too early is refused with one sentence; a cache or a part may expire any time."""
    if longer is None:
        assert Backbone("localhost:1", storage=storage, retention=retention).retention is retention
        return
    with pytest.raises(ConfigurationError, match=rf"^{longer} of Retention must be set, and be at most expires_after"):
        Backbone("localhost:1", storage=storage, retention=retention)
