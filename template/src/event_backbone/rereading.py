"""What is done with the history of a stream, beside its consumer groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from event_backbone.administration import Administration
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract
from event_backbone.explaining import Explanation, caused_by, lives_of, searched_until
from event_backbone.forward.link import Link, identity_of
from event_backbone.forward.opening import End, links_into, open_forwarder, verify
from event_backbone.forward.options import ForwardOptions, ForwardStart
from event_backbone.forward.payloads import Side
from event_backbone.model import EventKey
from event_backbone.reader import Reader
from event_backbone.replay import DebugReport, ReplayKeywords, ReplayOptions, ReplayReport
from event_backbone.replay.debugging import debug_event
from event_backbone.replay.replay import Replay, WhatIsRead

if TYPE_CHECKING:
    from event_backbone.contract import EventOf
    from event_backbone.forward import Forwarder, VerifyReport
    from event_backbone.model import OriginFilter
    from event_backbone.policy import RetryPolicy
    from event_backbone.projection import Projection, ProjectionStore, Projector
    from event_backbone.stream.redis.forwarding import LinkState

ContractType = TypeVar("ContractType", bound=Contract)
ServicesType = TypeVar("ServicesType")
TransactionType = TypeVar("TransactionType")


class Rereading(Administration):
    """Reads the events of a stream again, without a consumer group; a part of ``Backbone``, which has the settings."""

    def reader(self, uri: str) -> Reader:
        """Return a reader of the stream of this URI."""
        scope = self._scope(uri)
        return Reader(self._require_open().stream(scope.stream), self._storages, scope, self._cold_reads(scope))

    @overload
    async def replay(
        self, consumer: Consumer[ContractType, None], uri: str, **options: Unpack[ReplayKeywords]
    ) -> ReplayReport: ...

    @overload
    async def replay(
        self,
        consumer: Consumer[ContractType, ServicesType],
        uri: str,
        *,
        services: ServicesType,
        **options: Unpack[ReplayKeywords],
    ) -> ReplayReport: ...

    async def replay(
        self,
        consumer: Consumer[ContractType, Any],
        uri: str,
        *,
        services: object = None,
        **options: Unpack[ReplayKeywords],
    ) -> ReplayReport:
        """Call the handlers of ``consumer`` with the events of a URI from ``start`` (inclusive) to ``end`` (exclusive).

        The range is read from archive and stream, without a consumer group: nothing is acked, parked or dead-lettered,
        and groups are not affected. ``ReplayOptions`` describes the options, ``services`` are as for ``subscribe``.

        Each event of the range is handled at least once, also if a replay that was interrupted, by whatever, is
        followed by another one from the report's ``next``. So it is for handlers that tolerate being called again with
        events that they have handled: ``ctx.replaying`` says that they are. What they produce is produced again, also
        with ``once=``, which here means once for all attempts of an event within this replay.

        Outages of Redis and storages are waited for, except on the first read. Cancelling it cancels the handlers that
        run, and waits up to 5 s for their end.

        Raises:
            ReplayStopped: an event could not be handled, and ``on_failure`` is ``"stop"``.
            ConfigurationError, ContractError: as ``subscribe`` does.
            StreamUnavailable, StorageUnavailable: on the first read; StorageMissing on any.
            RequirementUnknown, ArchiveUnreadable: as ``Reader.scan`` does.
        """
        self._check(consumer.contract)
        scope, given = self._scope(uri), ReplayOptions(**options)
        read = WhatIsRead(self._require_open().stream(scope.stream), scope, self._storages, self._cold_reads(scope))
        return await Replay(consumer, services, read, given, self._handle_interceptors).run()

    @overload
    async def debug(
        self, consumer: Consumer[ContractType, None], uri: str, key: EventKey, *, produce: bool = False
    ) -> DebugReport: ...

    @overload
    async def debug(
        self,
        consumer: Consumer[ContractType, ServicesType],
        uri: str,
        key: EventKey,
        *,
        services: ServicesType,
        produce: bool = False,
    ) -> DebugReport: ...

    async def debug(
        self,
        consumer: Consumer[ContractType, Any],
        uri: str,
        key: EventKey,
        *,
        services: object = None,
        produce: bool = False,
    ) -> DebugReport:
        """Call the handlers of ``consumer`` with one event, once, in the caller's own task, and return what happened.

        The event is read from stream or archive, without a consumer group; nothing is acked. Nothing times out, so
        breakpoints work. What the handlers raise is returned, with its traceback.

        What they produce is held back unless ``produce`` is set: a call returns a key that was made up, and the
        report says what would have been produced. Whatever else they do is done: calls to other services, writes to a
        database, and what tasks produce that were started elsewhere.

        Raises as ``Reader.get`` does, and ConfigurationError and ContractError as ``replay``.
        """
        self._check(consumer.contract)
        event = await self.reader(uri).get(key)
        return await debug_event(
            consumer, services, event, self._scope(uri), self._handle_interceptors, produce=produce
        )

    def projector(
        self,
        projection: Projection[ContractType, TransactionType],
        uri: str,
        *,
        store: ProjectionStore[TransactionType],
        rebuild: bool = False,
        allow_gaps: bool = False,
        retry: RetryPolicy | None = None,
        drain: timedelta = timedelta(seconds=20),
    ) -> Projector:
        """Return a projector, which keeps the view of ``projection`` in ``store``; it runs while it is open.

        Args:
            projection: how events change the view.
            uri: whose events.
            store: where the view and its checkpoint are; whoever opened it closes it after the projector.
            rebuild: begin the view again, from the first event, when it starts; each process that says so does.
            allow_gaps: go on, with a warning, if events have left the stream that the view does not have, and there is
                no archive; by default ``wait`` then raises ConfigurationError.
            retry: how often an event is tried that fails, and the store; None: for about half an hour.
            drain: how long a stop may take.

        Raises ContractError if the contract cannot work, and ConfigurationError if the URI or an option is not valid,
        the projection lacks a function, or the backbone is not open.
        """
        from event_backbone.projection.opening import open_projector  # noqa: PLC0415 - few processes project

        self._check(projection.contract)
        scope = self._scope(uri)
        stream, cold = self._require_open().stream(scope.stream), self._cold_reads(scope)
        options = {"rebuild": rebuild, "allow_gaps": allow_gaps}
        return open_projector(
            projection, store, stream, self._storages, scope, cold, retry=retry, drain=drain, **options
        )

    async def explain(
        self,
        uri: str,
        key: EventKey,
        *,
        also_in: Sequence[str] = (),
        within: timedelta = timedelta(hours=1),
        depth: int = 3,
    ) -> Explanation:
        """Return what became of an event in each consumer group of its stream, and what it has caused.

        What its handlers have produced is searched for in this URI and in ``also_in``, among the events that were
        appended after it, for ``within``, and that are still in the stream; what these have caused in turn, to
        ``depth``. That reads all of their entries, once for each level, but no payload. An event that has left the
        stream is explained from the archive, if there is one: what became of it, as far as Redis still knows.

        Raises:
            EventNotFound: neither the stream nor its archive has an event with this key.
            ConfigurationError: a URI, ``within`` or ``depth`` is not valid.
            EntryUnreadable, RequirementUnknown, ArchiveUnreadable: this event cannot be read.
            StreamUnavailable, StorageUnavailable: waiting may help.
        """
        streams, scope = self._require_open(), self._scope(uri)
        event = await self.reader(uri).get(key)
        searched = dict.fromkeys([scope.stream, *(self._scope(each).stream for each in also_in)])
        caused = await caused_by(streams, list(searched), event.metadata, within=within, depth=depth)
        lives = await lives_of(streams, scope.stream, event, lambda group: self.dead_letters(uri, group))
        return Explanation(event, lives, caused, searched_until(event.metadata, within))

    def forwarder(
        self,
        uri: str,
        *,
        to: Rereading,
        to_uri: str | None = None,
        name: str | None = None,
        events: Collection[EventOf[Any, ...]] | None = None,
        origin: OriginFilter = "any",
        start: ForwardStart = None,
        end: EventKey | datetime | None = None,
        follow: bool = True,
        rate: float | None = None,
        copy_payloads: bool = False,
    ) -> Forwarder:
        """Return a forwarder of this URI's events to a stream of ``to``, an open backbone; run it by ``async with``.

        Event ids, times, correlation, keys and headers stay; ``metadata.origin`` says where an event came from. An
        event is not forwarded to a stream that it has been in, so links may form a loop.

        Args:
            uri: the source.
            to: the backbone of the target; it may be this one.
            to_uri: the target's URI; None is the same.
            name: what tells links into one stream apart; None is the source's identity.
            events: only events with the names of these, in every version.
            origin: only those that were produced to the source itself, or only those that were forwarded to it.
            start: where a new link begins: at the beginning, ``"now"``, or a key or an aware time, which is inclusive.
            end: where it ends (exclusive), with ``follow=False``.
            follow: go on with new events; else it ends with the newest event of its start.
            rate: at most how many events a second.
            copy_payloads: copy payloads also where the target could read them: in the same place in S3.

        Raises:
            ConfigurationError: an argument is not valid, source and target are the same, or a backbone is not open.
        """
        link = self._link(uri, to, to_uri, name=name, events=events, origin=origin)
        options = ForwardOptions(start=start, end=end, follow=follow, rate=rate, copy_payloads=copy_payloads)
        to._retain(to._scope(to_uri or uri))
        return open_forwarder(link, self._end(uri), to._end(to_uri or uri), options, to._deduplicate_for)

    async def verify_forward(
        self,
        uri: str,
        *,
        to: Rereading,
        to_uri: str | None = None,
        name: str | None = None,
        events: Collection[EventOf[Any, ...]] | None = None,
        origin: OriginFilter = "any",
    ) -> VerifyReport:
        """Compare what a link has forwarded with its source, up to its checkpoint; the arguments are those of the link.

        Reads both sides whole, with their archives and payloads, and holds little in memory.

        Raises:
            ConfigurationError: there is no such link, or it forwards something else.
            StreamUnavailable, StorageUnavailable, ArchiveUnreadable: a side cannot be read.
        """
        link = self._link(uri, to, to_uri, name=name, events=events, origin=origin)
        return await verify(link, self._end(uri), to._end(to_uri or uri))

    async def links(self, uri: str) -> Sequence[LinkState]:
        """Return the links that forward to this URI, and how far each is. Raises StreamUnavailable."""
        return await links_into(self._scope(uri))

    def _link(
        self,
        uri: str,
        to: Rereading,
        to_uri: str | None,
        *,
        name: str | None,
        events: Collection[EventOf[Any, ...]] | None,
        origin: OriginFilter,
    ) -> Link:
        source = identity_of(self._scope(uri).stream, self._site)
        target = identity_of(to._scope(to_uri or uri).stream, to._site)
        return Link.of(source, target, name=name, events=events, origin=origin)

    def _end(self, uri: str) -> End:
        scope = self._scope(uri)
        side = Side(scope, self._storages, self._cold_reads(scope))
        return End(self._require_open().stream(scope.stream), side, self._storage)
