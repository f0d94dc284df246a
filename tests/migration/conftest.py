"""Backbones that share a Redis and two buckets, each with its own storage for new payloads."""

from collections.abc import Callable

import pytest

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import RedisHashStorage, S3Options, S3Storage, Storage
from event_backbone.testing.servers import S3Server

STORAGES: dict[str, Callable[[], Storage]] = {
    "redis-hash": RedisHashStorage,
    "inline": lambda: RedisHashStorage(name="small", inline_up_to_bytes=1024),
    "s3": S3Storage,
    "s3-2": lambda: S3Storage(S3Options(bucket="more-events"), name="s3-2"),
}


@pytest.fixture
def storing(redis_url: str, s3_environment: dict[str, str], s3_server: S3Server) -> Callable[..., Backbone]:
    """Makes backbones by the name of their storage, and of those that they also read."""
    del s3_environment
    s3_server.create_bucket("more-events")

    def make(storage: str, *also_read: str, archive: S3Archive | None = None) -> Backbone:
        others = [STORAGES[each]() for each in also_read]
        return Backbone(redis_url, storage=STORAGES[storage](), also_read=others, archive=archive, environment="test")

    return make
