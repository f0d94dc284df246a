"""Opening and closing: what a backbone connects to, and everything that it has open."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from event_backbone.connection import OneEventLoop, RedisConnection
from event_backbone.contract import Contract, check
from event_backbone.errors import BackboneClosed, ConfigurationError
from event_backbone.interceptors import HandleInterceptor, ProduceInterceptor
from event_backbone.model import StreamName, environment_name, site_name
from event_backbone.producer import Batcher
from event_backbone.retention import Retention
from event_backbone.retention.expiry import refuse_early_expiry
from event_backbone.retention.opening import RetainedStream, open_retention
from event_backbone.retention.retention_loop import RetentionLoop
from event_backbone.settings import RedisSettings, environment_from, site_from
from event_backbone.storage import RedisHashStorage, Storage, StorageScope
from event_backbone.storage.archived import archived_storages
from event_backbone.storage.by_name import storages_by_name
from event_backbone.stream.base import Streams
from event_backbone.stream.redis import RedisStreams

if TYPE_CHECKING:
    from event_backbone.archive import S3Archive

_END_RETENTION_WITHIN = timedelta(milliseconds=500)


class Lifetime:
    """Opens a backbone's connections on entering and closes them on leaving. ``Backbone`` describes the settings."""

    def __init__(
        self,
        redis: str | RedisSettings | None = None,
        *,
        storage: Storage | None = None,
        also_read: Iterable[Storage] = (),
        archive: S3Archive | None = None,
        retention: Retention | None = None,
        environment: str | None = None,
        site: str | None = None,
        produce_interceptors: Iterable[ProduceInterceptor] = (),
        handle_interceptors: Iterable[HandleInterceptor] = (),
        produce_timeout: timedelta = timedelta(seconds=10),
        queue_bytes: int = 64 * 1024 * 1024,
        drain: timedelta = timedelta(seconds=10),
        deduplicate_for: timedelta = timedelta(minutes=10),
        min_replicas: int = 0,
        _streams: Streams | None = None,
    ) -> None:
        """Check the settings; nothing is connected yet."""
        _check_producing(produce_timeout, deduplicate_for, queue_bytes, min_replicas)
        self._settings = RedisSettings.of(redis) if _streams is None else None
        self._environment = environment_name(environment_from() if environment is None else environment)
        self._site = site_name(site_from() if site is None else site)
        self._storage = _checked(RedisHashStorage() if storage is None else storage, retention)
        self._given_storages = (self._storage, *also_read)
        self._storages = storages_by_name(self._given_storages, beside_stream=_streams is None)
        self._archive, self._retention = archive, retention
        self._archived = archived_storages(self._given_storages, beside_stream=_streams is None)
        self._produce_interceptors = tuple(produce_interceptors)
        self._handle_interceptors = tuple(handle_interceptors)
        self._produce_timeout, self._queue_bytes = produce_timeout, queue_bytes
        self._drain, self._deduplicate_for, self._min_replicas = drain, deduplicate_for, min_replicas
        self._given_streams = _streams
        self._streams: Streams | None = None
        self._redis: RedisConnection | None = None
        self._batchers: dict[StreamName, Batcher] = {}
        self._retentions: dict[StreamName, tuple[RetentionLoop, asyncio.Task[None]]] = {}
        self._was_open = False
        self._event_loop = OneEventLoop()

    async def __aenter__(self) -> Self:
        if self._streams is not None:
            raise ConfigurationError("This backbone is already open; open it once and share it.")
        self._event_loop = OneEventLoop()
        if self._settings is None:
            self._streams = self._given_streams
        else:
            self._redis = RedisConnection(self._settings)
            self._streams = RedisStreams(
                self._redis, deduplicate_for=self._deduplicate_for, min_replicas=self._min_replicas
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._event_loop.running()
        streams, redis, batchers = self._streams, self._redis, tuple(self._batchers.values())
        self._streams, self._redis, self._was_open = None, None, True
        self._batchers.clear()
        try:
            try:
                await asyncio.gather(*(batcher.close(self._drain) for batcher in batchers))
            finally:
                await self._end_retention()
        finally:
            for storage in self._given_storages:
                await storage.close()
            if self._archive is not None:
                await self._archive.close()
            if streams is not None:
                await streams.close()
            if redis is not None:
                await redis.close()

    def elsewhere(
        self, redis: str | RedisSettings | None = None, *, environment: str | None = None, site: str | None = None
    ) -> Self:
        """Return a backbone with the same storages on another Redis, environment or site, which is still to be opened.

        It carries out no retention, and has no archive where that of this one would be another Redis' in the same
        environment. What is None stays as it is here.
        """
        name = self._environment if environment is None else environment_name(environment)
        archive = self._archive if redis is None or name != self._environment else None
        return type(self)(
            redis or self._settings,
            storage=self._storage,
            also_read=self._given_storages[1:],
            archive=archive,
            environment=name,
            site=self._site if site is None else site,
            produce_timeout=self._produce_timeout,
            queue_bytes=self._queue_bytes,
            drain=self._drain,
            deduplicate_for=self._deduplicate_for,
            min_replicas=self._min_replicas,
        )

    @property
    def environment(self) -> str:
        """The environment as it is in names; empty if there is none."""
        return self._environment

    @property
    def redis(self) -> RedisConnection | None:
        """The connection to Redis, for administration; None in memory, and while the backbone is not open."""
        return self._redis

    @property
    def storage(self) -> Storage:
        """Where payloads are saved."""
        return self._storage

    @property
    def archive(self) -> S3Archive | None:
        """Where the history of all streams is kept; None without an archive."""
        return self._archive

    @property
    def retention(self) -> Retention | None:
        """How long events stay in Redis; None is forever."""
        return self._retention

    @property
    def min_replicas(self) -> int:
        """How many replicas must have an event before its produce call returns."""
        return self._min_replicas

    @property
    def archived_storages(self) -> Collection[str]:
        """The names of the storages whose payloads an archive copies."""
        return self._archived

    def _check(self, contract: type[Contract]) -> None:
        check(contract)
        for storage in self._given_storages:
            storage.check_contract(contract)

    def _require_open(self) -> Streams:
        if self._streams is not None:
            self._event_loop.refuse_another()
            return self._streams
        if self._was_open:
            raise BackboneClosed("The backbone is closed.")
        raise ConfigurationError("The backbone is not open; use it inside `async with Backbone(...) as backbone`.")

    def _require_archive(self) -> S3Archive:
        if self._archive is None:
            raise ConfigurationError("The backbone has no archive; make it with Backbone(archive=S3Archive(...)).")
        return self._archive

    def _retain(self, scope: StorageScope) -> None:
        """Carry out the retention of a stream from now on, if there is one, and report its size."""
        if self._redis is None or scope.stream in self._retentions:
            return
        loop = open_retention(self._retention, self._retained(scope))
        self._retentions[scope.stream] = loop, self._event_loop.begin(loop.run)

    def _retained(self, scope: StorageScope) -> RetainedStream:
        """Return what retention is carried out on; raise ConfigurationError for a stream in memory."""
        streams, archived = self._require_open(), self._archive is not None
        if self._redis is None:
            raise ConfigurationError("Streams in memory have no retention; use a backbone with Redis.")
        return RetainedStream(self._redis, scope, streams, self._storages, archived, self._deduplicate_for)

    async def _end_retention(self) -> None:
        """Let every round end after its next step; one that waits for a server longer is cancelled."""
        loops, tasks = [each for each, _ in self._retentions.values()], {each for _, each in self._retentions.values()}
        self._retentions.clear()
        for loop in loops:
            loop.stopping.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_END_RETENTION_WITHIN.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _scope(self, uri: str) -> StorageScope:
        self._require_open()
        return StorageScope(StreamName.of(uri, self._environment), self._redis)


def _checked(storage: Storage, retention: Retention | None) -> Storage:
    refuse_early_expiry(storage, retention)
    return storage


def _check_producing(timeout: timedelta, deduplicate_for: timedelta, queue_bytes: int, min_replicas: int) -> None:
    if not timedelta(0) < timeout < deduplicate_for:
        raise ConfigurationError("produce_timeout must be positive, and less than deduplicate_for.")
    if queue_bytes < 1:
        raise ConfigurationError(f"queue_bytes must be 1 or more, not {queue_bytes}.")
    if min_replicas < 0:
        raise ConfigurationError(f"min_replicas must be 0 or more, not {min_replicas}.")
