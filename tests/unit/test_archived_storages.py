"""Which payloads an archive copies, by what storages say and where they are."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    Part,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    Storage,
)
from event_backbone.storage.archived import archived_storages

A_DAY = timedelta(days=1)


def s3(name: str = "s3", *, archive: bool | None = None) -> S3Storage:
    """Return a storage that nothing connects."""
    return S3Storage(S3Options("events", environment_in="key"), name=name, archive=archive)


def redis(name: str = "redis-hash", *, archive: bool | None = None, expires: bool = False) -> RedisHashStorage:
    """Return a storage that nothing connects."""
    return RedisHashStorage(A_DAY if expires else None, name=name, archive=archive)


@pytest.mark.parametrize(
    ("given", "archived"),
    [
        ([], {"redis-hash"}),
        ([s3(), redis("own"), MemoryStorage()], {"redis-hash", "s3", "own", "memory"}),
        ([s3(archive=False), redis(archive=False)], set[str]()),
        ([s3(archive=True), redis(archive=True)], {"redis-hash", "s3"}),
        ([redis(expires=True)], set[str]()),
        ([redis(expires=True, archive=True)], {"redis-hash"}),
        ([CachedStorage(s3(), redis("cache", expires=True))], {"redis-hash", "s3"}),
        ([CachedStorage(s3(archive=False), redis("cache"))], {"redis-hash"}),
        ([SplitStorage(s3(), {"email": s3("personal"), "name": redis(archive=True)})], {"redis-hash", "s3"}),
        ([SplitStorage(s3(archive=False), {"email": s3("personal", archive=True), "n": redis()})], {"personal"}),
        (
            [
                SplitStorage(
                    CachedStorage(s3(), redis("cache")), {"a": Part(s3("personal", archive=True), optional=True)}
                )
            ],
            {"redis-hash", "s3", "personal"},
        ),
        ([SplitStorage(s3(), {"a": Part("personal"), "b": Part("redis-hash", optional=True)})], {"s3"}),
    ],
)
def test_an_archive_copies_what_is_not_kept_apart_and_does_not_expire(
    given: Sequence[Storage], archived: set[str]
) -> None:
    """Unless the storage itself says otherwise; the hashes beside the stream are copied too."""
    assert archived_storages(given, beside_stream=True) == archived


def test_without_redis_there_are_no_hashes_to_copy() -> None:
    """Of streams in memory."""
    assert archived_storages([MemoryStorage()], beside_stream=False) == {"memory"}
