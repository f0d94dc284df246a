"""Opens a migration of one stream, wired together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.migration.migration import Migration
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.redis.migrating import RedisMigrating
from event_backbone.stream.redis.stream import RedisStream


@asynccontextmanager
async def open_migration(
    scope: StorageScope, storages: Mapping[str, Storage], target: Storage, away_from: str, deduplicate_for: timedelta
) -> AsyncGenerator[Migration]:
    """Open what moves payloads away from a storage, on a connection that nobody else uses."""
    if scope.redis is None:
        raise ConfigurationError("Payloads of streams in memory do not move; use a backbone with Redis.")
    redis = RedisConnection(scope.redis.settings)
    try:
        stream = RedisStream(redis, scope.stream, deduplicate_for)
        own = StorageScope(scope.stream, redis)
        yield Migration(own, stream, RedisMigrating(redis, scope.stream), storages, target, away_from)
    finally:
        await redis.close()
