"""``Backbone``: the one object that an application opens; it gets everything else from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from event_backbone.archive.opening import find_event, open_archiver
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, bind
from event_backbone.errors import ConfigurationError
from event_backbone.model import new_event_id
from event_backbone.producer import Batcher, Producer, SeveralStreams
from event_backbone.rereading import Rereading
from event_backbone.stream.values import Reservation
from event_backbone.subscription import Shared, Subscription, SubscriptionKeywords, SubscriptionOptions
from event_backbone.worker import Worker

if TYPE_CHECKING:
    from event_backbone.archive.archiver import Archiver

ContractType = TypeVar("ContractType", bound=Contract)
ServicesType = TypeVar("ServicesType")

_CHECK_URI = "event-backbone-check"


class Backbone(Rereading):
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
        redis: ``host:port``, ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``;
            None reads REDIS_EVENT_SOURCE_ENDPOINT and REDIS_EVENT_SOURCE_PASS.
        storage: where payloads are saved; None means Redis hashes beside the stream.
        also_read: storages of older events. Redis hashes beside the stream are always read.
        archive: where the history of all streams is kept. Archivers fill it, and readers find in it what is no longer
            in Redis.
        retention: how long events stay in Redis; None is forever. It is carried out for each stream that is produced
            to, subscribed to or archived here, by one process at a time.
        environment: part of every name; None reads EVENT_SOURCE_ENVIRONMENT, an empty one is left out.
        site: tells this Redis apart from another one with the same environment and URIs, when events are forwarded
            between them; None reads EVENT_SOURCE_SITE, which may be unset.
        produce_interceptors: wrap every produce call; the first one is the outermost.
        handle_interceptors: wrap every attempt to handle an event; the first one is the outermost.
        produce_timeout: after this time a produce call raises NotSent or OutcomeUnknown.
        queue_bytes: of payloads, on their way to one stream at once; more wait. A larger one is sent alone.
        drain: how long the exit may take to send what is queued.
        deduplicate_for: how long two calls with the same event id make one event.
        min_replicas: how many replicas must have an event (Redis' WAIT) before its produce call returns. While there
            are fewer, the call goes on, and ends with OutcomeUnknown after ``produce_timeout``.

    Raises:
        ConfigurationError: a setting is missing or not valid, or payloads would expire (``expires_after``) before
            ``retention`` removes their events.
    """

    def producer(self, contract: type[ContractType], *, uri: str | Sequence[str]) -> ContractType:
        """Return an instance of the contract that produces events to the stream of this URI, or of each of them.

        With several URIs, each call produces one event, with one event id, to all of their streams, or raises
        PartlySent, which says which have it. Tasks may share the producer until the backbone is closed.

        Raises:
            ContractError: an annotation, a default or a chain of upcasters cannot work.
            ConfigurationError: a URI is not valid or given twice, there is none, or the backbone is not open.
        """
        self._check(contract)
        if isinstance(uri, str):
            return bind(contract, self._producer(uri))
        if not uri or len(set(uri)) < len(uri):
            raise ConfigurationError("A producer of several streams needs one or more URIs, each of them once.")
        return bind(contract, SeveralStreams({each: self._producer(each) for each in uri}))

    def _producer(self, uri: str) -> Producer:
        scope = self._scope(uri)
        self._retain(scope)
        batcher = self._batchers.get(scope.stream)
        if batcher is None:
            stream = self._require_open().stream(scope.stream)
            batcher = Batcher(stream, queue_bytes=self._queue_bytes, event_loop=self._event_loop)
            self._batchers[scope.stream] = batcher
        return Producer(
            batcher,
            self._storage,
            scope,
            interceptors=self._produce_interceptors,
            timeout=self._produce_timeout,
            find=partial(find_event, self._archive, scope, batcher.stream, self._deduplicate_for),
        )

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

    @overload
    def subscribe(
        self,
        consumer: Consumer[ContractType, None],
        *,
        uri: list[str] | tuple[str, ...],
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Worker: ...

    @overload
    def subscribe(
        self,
        consumer: Consumer[ContractType, ServicesType],
        *,
        services: ServicesType,
        uri: list[str] | tuple[str, ...],
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Worker: ...

    def subscribe(
        self,
        consumer: Consumer[ContractType, Any],
        *,
        services: object = None,
        uri: str | list[str] | tuple[str, ...],
        group: str,
        **options: Unpack[SubscriptionKeywords],
    ) -> Subscription | Worker:
        """Return a subscription of ``consumer`` in a group; it runs while it is open in an ``async with``.

        With several URIs, return a worker with a subscription of each, which share ``concurrency``, ``max_events`` and
        ``prefetch_bytes``.

        ``services`` is what the handlers find in their context; whoever opened it closes it after the subscription.
        ``SubscriptionOptions`` describes the options. Raises ContractError if the contract cannot work, and
        ConfigurationError if an option, the URI or the group is not valid, services are missing, or the backbone is
        not open.
        """
        self._check(consumer.contract)
        uris = [uri] if isinstance(uri, str) else uri
        if not uris or len(set(uris)) < len(uris):
            raise ConfigurationError("uri must be one URI, or a list of different ones.")
        chosen = SubscriptionOptions(**options)
        shared = Shared(chosen.concurrency, chosen.max_events, uris=len(uris))
        chosen = replace(chosen, prefetch_bytes=max(1, chosen.prefetch_bytes // len(uris)))
        subscriptions = [self._subscription(consumer, services, each, group, chosen, shared) for each in uris]
        return subscriptions[0] if isinstance(uri, str) else Worker(*subscriptions)

    def _subscription(  # noqa: PLR0917 - what subscribe was given
        self,
        consumer: Consumer[Contract, Any],
        services: object,
        uri: str,
        group: str,
        options: SubscriptionOptions,
        shared: Shared,
    ) -> Subscription:
        scope = self._scope(uri)
        self._retain(scope)
        return Subscription(
            self._require_open(),
            scope=scope,
            group=group,
            consumer=consumer,
            services=services,
            storages=self._storages,
            cold=self._cold_reads(scope),
            options=options,
            interceptors=self._handle_interceptors,
            shared=shared,
        )

    def archiver(self, uri: str) -> Archiver:
        """Return an archiver of the stream of this URI; it runs while it is open in an ``async with``.

        Raises:
            ConfigurationError: the URI is not valid, or the backbone has no archive, or is not open.
        """
        scope = self._scope(uri)
        self._retain(scope)
        return open_archiver(self._require_archive(), scope, self._require_open(), self._storages, self._archived)

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
