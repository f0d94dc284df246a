"""``Backbone``: the one object that an application opens; it gets everything else from it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from event_backbone.connection import OneEventLoop, RedisConnection
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, bind, check
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters import DeadLetters
from event_backbone.erasing import erase_payload
from event_backbone.errors import BackboneClosed, ConfigurationError
from event_backbone.interceptors import HandleInterceptor, ProduceInterceptor
from event_backbone.model import EventKey, StreamName, environment_name, new_event_id
from event_backbone.producer import Batcher, Producer
from event_backbone.reader import Reader
from event_backbone.settings import RedisSettings, environment_from
from event_backbone.storage import RedisHashStorage, Storage, StorageScope
from event_backbone.storage.by_name import locations_of, storages_by_name
from event_backbone.stream.base import Streams
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.values import GroupState, PendingEntry, Reservation
from event_backbone.subscription import Subscription, SubscriptionKeywords, SubscriptionOptions

ContractType = TypeVar("ContractType", bound=Contract)
ServicesType = TypeVar("ServicesType")

_CHECK_URI = "event-backbone-check"


class Backbone:
    """Connects contracts, consumers and readers with the streams of one Redis and with payload storages.

    ```python
    async with Backbone("localhost:6379", storage=S3Storage()) as backbone:
        shipments = backbone.producer(Shipments, uri="shipments")
        await shipments.packing("ada@example.com", product_id=7, time=now)
        async with backbone.subscribe(consumer, uri="shipments", group="mailer") as subscription:
            await subscription.wait()
    ```

    It connects on first use: an unreachable server shows in the first call, or in ``check``. On exit it sends what is
    still queued and closes every connection. It may then be opened again, but what it gave out before stays closed. It
    works only in the event loop in which it was opened, and raises ConfigurationError in any other.

    Args:
        redis: ``host:port``, ``redis://``, ``rediss://`` or ``unix://``; None reads REDIS_EVENT_SOURCE_ENDPOINT and
            REDIS_EVENT_SOURCE_PASS.
        storage: where payloads are saved; None means Redis hashes beside the stream.
        also_read: storages of older events. Redis hashes beside the stream are always read.
        environment: part of every name; None reads EVENT_SOURCE_ENVIRONMENT, an empty one is left out.
        produce_interceptors: wrap every produce call; the first one is the outermost.
        handle_interceptors: wrap every attempt to handle an event; the first one is the outermost.
        produce_timeout: after this time a produce call raises NotSent or OutcomeUnknown.
        queue_bytes: of payloads, on their way to one stream at once; more wait. A larger one is sent alone.
        drain: how long the exit may take to send what is queued.
        deduplicate_for: how long two calls with the same event id make one event.

    Raises:
        ConfigurationError: a setting is missing or not valid.
    """

    def __init__(
        self,
        redis: str | RedisSettings | None = None,
        *,
        storage: Storage | None = None,
        also_read: Iterable[Storage] = (),
        environment: str | None = None,
        produce_interceptors: Iterable[ProduceInterceptor] = (),
        handle_interceptors: Iterable[HandleInterceptor] = (),
        produce_timeout: timedelta = timedelta(seconds=10),
        queue_bytes: int = 64 * 1024 * 1024,
        drain: timedelta = timedelta(seconds=10),
        deduplicate_for: timedelta = timedelta(minutes=10),
        _streams: Streams | None = None,
    ) -> None:
        """Check the settings; nothing is connected yet."""
        if not timedelta(0) < produce_timeout < deduplicate_for:
            raise ConfigurationError("produce_timeout must be positive, and less than deduplicate_for.")
        if queue_bytes < 1:
            raise ConfigurationError(f"queue_bytes must be 1 or more, not {queue_bytes}.")
        self._settings = RedisSettings.of(redis) if _streams is None else None
        self._environment = environment_name(environment_from() if environment is None else environment)
        self._storage: Storage = RedisHashStorage() if storage is None else storage
        self._given_storages = (self._storage, *also_read)
        self._storages = storages_by_name(self._given_storages, beside_stream=_streams is None)
        self._produce_interceptors = tuple(produce_interceptors)
        self._handle_interceptors = tuple(handle_interceptors)
        self._produce_timeout = produce_timeout
        self._queue_bytes = queue_bytes
        self._drain = drain
        self._deduplicate_for = deduplicate_for
        self._given_streams = _streams
        self._streams: Streams | None = None
        self._redis: RedisConnection | None = None
        self._batchers: dict[StreamName, Batcher] = {}
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
            self._streams = RedisStreams(self._redis, deduplicate_for=self._deduplicate_for)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._event_loop.running()
        streams, redis, batchers = self._streams, self._redis, tuple(self._batchers.values())
        self._streams, self._redis, self._was_open = None, None, True
        self._batchers.clear()
        try:
            await asyncio.gather(*(batcher.close(self._drain) for batcher in batchers))
        finally:
            for storage in self._given_storages:
                await storage.close()
            if streams is not None:
                await streams.close()
            if redis is not None:
                await redis.close()

    @property
    def environment(self) -> str:
        """The environment as it is in names; empty if there is none."""
        return self._environment

    @property
    def redis(self) -> RedisConnection | None:
        """The connection to Redis, for administration; None in memory, and while the backbone is not open."""
        return self._redis

    def producer(self, contract: type[ContractType], *, uri: str) -> ContractType:
        """Return an instance of the contract that produces events to the stream of this URI.

        Tasks may share it until the backbone is closed.

        Raises:
            ContractError: an annotation, a default or a chain of upcasters cannot work.
            ConfigurationError: the URI is not valid, or the backbone is not open.
        """
        self._check(contract)
        scope = self._scope(uri)
        batcher = self._batchers.get(scope.stream)
        if batcher is None:
            stream = self._require_open().stream(scope.stream)
            batcher = Batcher(stream, queue_bytes=self._queue_bytes, event_loop=self._event_loop)
            self._batchers[scope.stream] = batcher
        producer = Producer(
            batcher,
            self._storage,
            scope,
            interceptors=self._produce_interceptors,
            timeout=self._produce_timeout,
        )
        return bind(contract, producer)

    @overload
    def subscribe(
        self,
        consumer: Consumer[ContractType, None],
        *,
        uri: str,
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Subscription: ...

    @overload
    def subscribe(
        self,
        consumer: Consumer[ContractType, ServicesType],
        *,
        services: ServicesType,
        uri: str,
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Subscription: ...

    def subscribe(
        self,
        consumer: Consumer[ContractType, Any],
        *,
        services: object = None,
        uri: str,
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Subscription:
        """Return a subscription of ``consumer`` in a group; it runs while it is open in an ``async with``.

        ``services`` is what the handlers find in their context; whoever opened it closes it after the subscription.
        ``SubscriptionOptions`` describes the options. Raises ContractError if the contract cannot work, and
        ConfigurationError if an option, the URI or the group is not valid, services are missing, or the backbone is
        not open.
        """
        self._check(consumer.contract)
        return Subscription(
            self._require_open(),
            scope=self._scope(uri),
            group=group,
            consumer=consumer,
            services=services,
            storages=self._storages,
            options=SubscriptionOptions(**options),
            interceptors=self._handle_interceptors,
        )

    def reader(self, uri: str) -> Reader:
        """Return a reader of the stream of this URI."""
        scope = self._scope(uri)
        return Reader(self._require_open().stream(scope.stream), self._storages, scope)

    def dead_letters(self, uri: str, group: str) -> DeadLetters:
        """Return the dead letters of a consumer group."""
        return DeadLetters(self._require_open(), self._scope(uri), group, self._storages)

    async def pending(
        self, uri: str, group: str, *, after: EventKey | None = None, count: int = 100
    ) -> Sequence[PendingEntry]:
        """Return up to ``count`` events that are delivered and neither acked nor dead-lettered, oldest first."""
        return await self._require_open().group_admin(self._scope(uri).stream, group).pending(after, count)

    async def groups(self, uri: str) -> Sequence[GroupState]:
        """Return the state of every consumer group of a stream."""
        return await self._require_open().stream(self._scope(uri).stream).groups()

    async def erase(self, uri: str, key: EventKey, *, part: str | None = None) -> list[str]:
        """Erase an event's payload in every storage that has a part of it; its entry and metadata stay.

        From then on the payload reads as ``erased``. With ``part``, the name of a storage, only what that storage has
        is erased: the rest reads as ``partial``. An inline payload is erased with its entry: nobody finds that event
        any more. May be called twice. Returns where the parts are that were erased, as ``location`` does.

        Raises:
            EventNotFound: the stream has no event with this key, or the event has no such part; the text names those
                that it has.
            EntryUnreadable, RequirementUnknown, StorageMissing: nothing was erased.
            PayloadGone: a part is not there, and keeps reading as ``gone``; the others were erased.
            StreamUnavailable, StorageUnavailable: the payload may be erased in part; call it again.
        """
        scope = self._scope(uri)
        return await erase_payload(self._require_open().stream(scope.stream), self._storages, scope, key, part)

    def location(self, event: StoredEvent) -> list[str]:
        """Return where each part of an event's payload is, for people.

        A Redis key, the stream's entry, or a line in S3: ``s3://<bucket>/<key> (bytes <first>-<last>)``.
        """
        return locations_of(event, self._storages, self._scope(event.metadata.uri))

    async def check(self) -> None:
        """Check that Redis and the storages answer and are set up as needed.

        Raises:
            StreamUnavailable, StorageUnavailable: one does not answer; waiting may help.
            ConfigurationError: one refuses; the text says why.
        """
        await self._require_open().check()
        scope = self._scope(_CHECK_URI)
        for storage in self._given_storages:
            await storage.check(scope)

    async def reserve_event_id(self, uri: str, token: str, request: bytes) -> Reservation:
        """Return the event id for an idempotency token; a new token gets a new id.

        Producing with this id makes one event, however often a client repeats its request. The token, of which only a
        hash is stored, is remembered as long as event ids are (``deduplicate_for``). ``request`` is what the client
        asked for, to detect another request with the same token.
        """
        digest = hashlib.sha256(request).hexdigest()
        stream = self._require_open().stream(self._scope(uri).stream)
        return await stream.reserve(token, digest, new_event_id(), self._deduplicate_for)

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

    def _scope(self, uri: str) -> StorageScope:
        self._require_open()
        return StorageScope(StreamName.of(uri, self._environment), self._redis)
