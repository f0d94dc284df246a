"""Backbones with an archive in the session's S3."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from event_backbone import Backbone, Retention
from event_backbone.archive import S3Archive
from event_backbone.connection import RedisConnection
from event_backbone.storage import CachedStorage, RedisHashStorage, S3Options, S3Storage, SplitStorage, Storage
from tests.support.archives import ArchivedStream
from tests.support.faulty_s3 import FaultyS3, faulty_s3

ENVIRONMENT = "test"

STORAGES: dict[str, Callable[[], Storage]] = {
    "redis-hash": RedisHashStorage,
    "inline": lambda: RedisHashStorage(inline_up_to_bytes=1024),
    "s3": S3Storage,
    "s3-cached": lambda: CachedStorage(S3Storage(), RedisHashStorage(name="cache")),
    "split": lambda: SplitStorage(S3Storage(), {"email": RedisHashStorage(name="personal")}),
}


@pytest.fixture(params=["redis-hash", "inline", "s3", "s3-cached", "split"])
def storage_name(request: pytest.FixtureRequest) -> str:
    """Which of ``STORAGES`` keeps payloads."""
    name: str = request.param
    return name


@pytest.fixture
def archived_backbone(redis_url: str, s3_environment: dict[str, str]) -> Callable[..., Backbone]:
    """Makes backbones that share a Redis, a bucket and an archive."""
    del s3_environment

    def make(storage: str = "s3", *, archive: S3Archive | None = None) -> Backbone:
        return Backbone(
            redis_url,
            storage=STORAGES[storage](),
            archive=archive or S3Archive(segment_bytes=2000),
            environment=ENVIRONMENT,
        )

    return make


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyS3]:
    """An S3 with the faults that a test asks for, in the variables of this process."""
    async with faulty_s3() as server:
        for name, value in {"BUCKET": "events", "ACCESS_KEY": "key", "SECRET": "secret"}.items():
            monkeypatch.setenv(f"S3_EVENT_SOURCE_{name}", value)
        monkeypatch.setenv("S3_EVENT_SOURCE_ENDPOINT", server.endpoint)
        monkeypatch.setenv("S3_EVENT_SOURCE_REGION", "us-east-1")
        yield server


Make = Callable[..., AbstractAsyncContextManager[Backbone]]


@pytest.fixture
def archiving(redis_url: str, s3: FaultyS3) -> Make:
    """Makes backbones that share a Redis and ``s3``, with short time-outs; with an archive unless told otherwise."""
    del s3
    options = S3Options(request_timeout=timedelta(seconds=1), deadline=timedelta(seconds=2))

    def make(
        storage: Storage | None = None, *, archived: bool = True, retention: Retention | None = None, **settings: object
    ) -> Backbone:
        archive = S3Archive(options, **settings) if archived else None  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        return Backbone(
            redis_url,
            storage=storage or RedisHashStorage(),
            archive=archive,
            retention=retention,
            environment=ENVIRONMENT,
        )

    return make


@pytest.fixture
async def archived(
    redis_url: str, connection: RedisConnection, s3_environment: object
) -> AsyncIterator[ArchivedStream]:
    """A stream with an empty archive."""
    del s3_environment
    archive = S3Archive()
    async with Backbone(redis_url, storage=S3Storage(), archive=archive, environment=ENVIRONMENT) as backbone:
        yield ArchivedStream(backbone, archive, connection, redis_url)
