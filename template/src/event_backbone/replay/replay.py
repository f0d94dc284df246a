"""A replay: reads a range of a stream and its archive, calls a consumer's handlers with it, and leaves groups alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from event_backbone.consumer import Consumer, check_services
from event_backbone.contract import Contract, definition_for
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import DecodeError, EntryUnreadable, ReplayStopped, UnknownEvent, UnknownVersion
from event_backbone.event_loading import EventLoading
from event_backbone.interceptors import HandleInterceptor
from event_backbone.model import EventKey, Metadata, NewDeadLetter
from event_backbone.reader import key_at, report_left
from event_backbone.replay.follow_ups import ReplayFollowUps
from event_backbone.replay.options import ReplayOptions
from event_backbone.replay.report import ReplayReport, Tally
from event_backbone.replay.runner import Runner
from event_backbone.replay.window import ReplayedEvent, Window
from event_backbone.scanning import Scan
from event_backbone.spans import HandleSpans
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.stream.base import Stream
from event_backbone.subscription.handling import Handling, OnFailure
from event_backbone.tasks import end_of

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

_PAGE_BYTES = 32 * 1024 * 1024
_REPORT_SECONDS = 0.2
_END_CANCELLED_WITHIN = timedelta(seconds=5)


class WhatIsRead(NamedTuple):
    """A stream, the storages that have its payloads, and its archive, if there is one."""

    stream: Stream
    scope: StorageScope
    storages: Mapping[str, Storage]
    cold: ColdReads | None


class Replay:
    """One replay; ``Backbone.replay`` describes it."""

    def __init__(
        self,
        consumer: Consumer[Contract, Any],
        services: object,
        read: WhatIsRead,
        options: ReplayOptions,
        interceptors: Sequence[HandleInterceptor],
    ) -> None:
        """Prepare; ``run`` runs it once."""
        if not options.dry_run:
            check_services(consumer, services)
        self._contract = consumer.contract
        stream, scope, storages, cold = read
        self._stream = stream
        self._cold = cold
        self._options = options
        self._window = Window()
        self._follow_ups = ReplayFollowUps(self._window.has)
        self._handling = handling_of(
            consumer, services, scope, self._follow_ups, options=options, interceptors=interceptors
        )
        self._unreadable: dict[EventKey, ReplayedEvent] = {}  # as a page that met an outage is read again
        self._loading = EventLoading(
            stream, storages, scope, cold, needs=self._needs_payload, on_unreadable=self._note_unreadable
        )
        self._tally = Tally()

    async def run(self) -> ReplayReport:
        """Replay the range, and return what was done."""
        options = self._options
        start = EventKey(0) if options.start is None else key_at(options.start)
        stop = await self._newest() if options.end is None else key_at(options.end)
        self._window.add([], start)
        if self._cold is None:
            await report_left(self._stream, options.start)
        scan = Scan(
            self._stream,
            self._cold,
            self._loading,
            position=start.predecessor(),
            stop=stop,
            wanted=options.events,
            follow=False,
            page_bytes=_PAGE_BYTES,
        )
        try:
            await (self._count(scan) if options.dry_run else self._handle(scan))
            self._window.add([], stop)
        finally:
            await scan.close()
            options.on_progress(self._report())
        return self._report()

    async def _handle(self, scan: Scan[StoredEvent]) -> None:
        """Handle the events that ``scan`` yields, and raise what ended that early, once nothing runs any more."""
        runner = Runner(self._handling, self._follow_ups, self._window, self._tally, self._options)
        reading = asyncio.create_task(self._read(scan, runner))
        reading.add_done_callback(lambda _: runner.complete())
        ended = asyncio.create_task(runner.ended.wait())
        try:
            while not (await asyncio.wait({ended}, timeout=_REPORT_SECONDS))[0]:
                self._options.on_progress(self._report())
        except BaseException:
            runner.cancel()
            await asyncio.wait({ended}, timeout=_END_CANCELLED_WITHIN.total_seconds())
            raise
        finally:
            ended.cancel()
            reading.cancel()
            unread = await end_of(reading)
        if runner.broken is not None:
            raise runner.broken
        if runner.failure is not None:
            following = str(self._window.next)
            text = f"The replay stopped at event {runner.failure}. Correct that, then replay from {following} on."
            raise ReplayStopped(text, following)
        if unread is not None:
            raise unread

    async def _read(self, scan: Scan[StoredEvent], runner: Runner) -> None:
        events = self._replayed(await scan.next_page())
        while events is not None:
            self._window.add(events, scan.position.successor())
            runner.add(events)
            events = None  # so that nothing refers to their payloads longer than their handlers
            await runner.until_wanted()
            events = self._replayed(await scan.next_page_after_outages())

    def _replayed(self, page: Sequence[StoredEvent] | None) -> list[ReplayedEvent] | None:
        """Return what was read for a page, in order, with what could not be; None at the end."""
        if page is None:
            return None
        events: list[ReplayedEvent] = []
        for read in page:
            route = self._handling.routes.of(read.metadata)
            events.append(ReplayedEvent(read.key, read, route, read.metadata.size_bytes if route.wanted else 0))
        if self._unreadable:
            events = sorted([*events, *self._unreadable.values()], key=lambda each: each.key)
            self._unreadable.clear()
        return events

    async def _count(self, scan: Scan[StoredEvent]) -> None:
        """Count what would become of the events that ``scan`` yields, as far as their metadata says."""
        events = self._replayed(await scan.next_page())
        while events is not None:
            self._window.add(events, scan.position.successor())
            for event in events:
                self._count_one(event)
                self._window.done(event)
            self._options.on_progress(self._report())
            events = self._replayed(await scan.next_page_after_outages())

    def _count_one(self, event: ReplayedEvent) -> None:
        read, route = event.read, event.route
        if isinstance(read, StoredEvent) and route is not None and route.wanted:
            self._tally.handled[route.attributes["event"]] += 1
            return
        error = self._unknown(read.metadata) if isinstance(read, StoredEvent) else read
        if error is None:
            self._tally.skipped["no-handler"] += 1
        elif isinstance(error, UnknownEvent) and self._options.unknown == "skip":
            self._tally.skipped["unknown-event"] += 1
        elif isinstance(letter := self._options.retry.decide(1, error), NewDeadLetter):
            self._tally.fail(event.key, event.name, letter)

    def _unknown(self, metadata: Metadata) -> DecodeError | None:
        """Return why the contract does not have an event; None if it does."""
        try:
            definition_for(self._contract, metadata.event, metadata.version)
        except (UnknownEvent, UnknownVersion) as error:
            return error
        return None

    async def _newest(self) -> EventKey:
        """Return the key after the newest event there is."""
        newest = await self._stream.last_key()
        if self._cold is not None:
            newest = max(newest, await self._cold.last_key())
        return newest.successor()

    def _needs_payload(self, metadata: Metadata) -> bool:
        return not self._options.dry_run and self._handling.routes.of(metadata).wanted

    def _note_unreadable(self, key: EventKey, error: EntryUnreadable) -> None:
        self._unreadable[key] = ReplayedEvent(key, error)

    def _report(self) -> ReplayReport:
        return self._tally.report(self._window.next)


def handling_of(
    consumer: Consumer[Contract, Any],
    services: object,
    scope: StorageScope,
    follow_ups: ReplayFollowUps,
    *,
    options: ReplayOptions,
    interceptors: Sequence[HandleInterceptor],
    on_failure: OnFailure | None = None,
) -> Handling:
    """Return what calls the handlers of ``consumer`` without a group. A span is linked to its event's producer."""
    return Handling(
        consumer,
        services=services,
        on_failure=on_failure,
        interceptors=interceptors,
        retry=options.retry,
        ack="on-success",
        unknown=options.unknown,
        attributes={"uri": scope.stream.uri, "group": ""},
        spans=HandleSpans(scope.stream.key, "", "link"),
        leases=follow_ups,
        group="",
    )
