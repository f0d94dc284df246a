"""``Backbone``: the one object that an application opens; it gets everything else from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from event_backbone.archive.opening import (
    archive_state,
    open_archive_erasing,
    open_archiver,
    open_cold_reads,
    open_restore,
)
from event_backbone.archive.restore_report import OnProgress, RestorePlan, RestoreReport, ignore_progress
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, bind
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters import DeadLetters
from event_backbone.erasing import erase_payload
from event_backbone.lifetime import Lifetime
from event_backbone.model import EventKey, new_event_id
from event_backbone.producer import Batcher, Producer
from event_backbone.reader import Reader
from event_backbone.storage.base import StorageScope
from event_backbone.storage.by_name import locations_of
from event_backbone.stream.values import GroupState, PendingEntry, Reservation
from event_backbone.subscription import Subscription, SubscriptionKeywords, SubscriptionOptions

if TYPE_CHECKING:
    from event_backbone.archive.archiver import Archiver
    from event_backbone.archive.cold_reads import ColdReads
    from event_backbone.archive.restore import Restore
    from event_backbone.archive.state import ArchiveState

ContractType = TypeVar("ContractType", bound=Contract)
ServicesType = TypeVar("ServicesType")

_CHECK_URI = "event-backbone-check"


class Backbone(Lifetime):
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
        archive: where the history of all streams is kept. Archivers fill it, and readers find in it what is no longer
            in Redis.
        retention: how long events stay in Redis; None is forever. It is carried out for each stream that is produced
            to, subscribed to or archived here, by one process at a time.
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
        scope = self._scope(uri)
        return Subscription(
            self._require_open(),
            scope=scope,
            group=group,
            consumer=consumer,
            services=services,
            storages=self._storages,
            cold=self._cold_reads(scope),
            options=SubscriptionOptions(**options),
            interceptors=self._handle_interceptors,
        )

    def reader(self, uri: str) -> Reader:
        """Return a reader of the stream of this URI."""
        scope = self._scope(uri)
        return Reader(self._require_open().stream(scope.stream), self._storages, scope, self._cold_reads(scope))

    def archiver(self, uri: str) -> Archiver:
        """Return an archiver of the stream of this URI; it runs while it is open in an ``async with``.

        Raises:
            ConfigurationError: the URI is not valid, or the backbone has no archive, or is not open.
        """
        scope = self._scope(uri)
        return open_archiver(self._require_archive(), scope, self._require_open(), self._storages, self._archived)

    async def restore(
        self,
        uri: str,
        *,
        since: datetime | None = None,
        follow_ups_in: Sequence[str] = (),
        on_progress: OnProgress = ignore_progress,
    ) -> RestoreReport:
        """Bring back to Redis all events of this URI that the archive and packs have; may be run again at any time.

        Producers and workers go on meanwhile. Archived events keep their keys; those that only packs have get new ones
        and the header ``restored``. Groups handle again what they had not finished, as far as the archive knows.
        Without an archive it knows packs alone: all events in them, and nothing of the groups.

        ``since`` (aware) is for what Redis lost in a failover long ago, before it was archived: packs are searched from
        then on. Without it they are searched from 15 minutes before the end of the archive, more with a longer
        ``deduplicate_for``.

        What handlers had produced by ``once=`` is known again, so they do not produce it twice: events of this URI and
        of ``follow_ups_in``, which names the other URIs that they produce to. Restore those before this one.

        Raises:
            StreamError: another restore of this stream is under way.
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer; run it again.
            ConfigurationError, ArchiveUnreadable: S3 refuses, or what it has cannot be used.
        """
        async with self._restore(uri, follow_ups_in) as restore:
            return await restore.run(since, on_progress)

    async def plan_restore(self, uri: str, *, since: datetime | None = None) -> RestorePlan:
        """Return what ``restore`` would do now; nothing is changed. Raises as ``restore`` does."""
        async with self._restore(uri) as restore:
            return await restore.plan(since)

    async def archive_state(self, uri: str) -> ArchiveState:
        """Return how far the archive of a stream is, and whether Redis has lost events that it has.

        Raises:
            ConfigurationError: the backbone has no archive, or S3 refuses.
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer.
            ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
        """
        return await archive_state(self._require_archive(), self._scope(uri))

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
        any more. What the archive has is erased too, at once or, if it is only about to be archived, before that is
        committed or soon after. May be called twice. Returns where the parts are that were erased, as ``location``
        does.

        Raises:
            EventNotFound: neither stream nor archive has an event with this key, or the event has no such part; the
                text names those that it has.
            EntryUnreadable, RequirementUnknown, StorageMissing: nothing was erased.
            PayloadGone: a part is not there, and keeps reading as ``gone``; the others were erased.
            StreamUnavailable, StorageUnavailable: the payload may be erased in part; call it again.
            ConfigurationError, ArchiveUnreadable: the copy in the archive is not erased yet; archivers will do it.
        """
        scope, streams = self._scope(uri), self._require_open()
        archived = open_archive_erasing(self._archive, scope)
        return await erase_payload(streams.stream(scope.stream), self._storages, scope, archived, key, part=part)

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

    def _cold_reads(self, scope: StorageScope) -> ColdReads | None:
        return None if self._archive is None else open_cold_reads(self._archive, scope)

    def _restore(self, uri: str, follow_ups_in: Sequence[str] = ()) -> AbstractAsyncContextManager[Restore]:
        return open_restore(
            self._archive,
            self._scope(uri),
            self._storages,
            self._given_storages,
            self._deduplicate_for,
            follow_ups_in=[self._scope(each) for each in follow_ups_in if each != uri],
        )
