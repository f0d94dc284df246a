"""The loop of an archiver: reads on where the archive ends, and commits a segment when it is full or old enough."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone import telemetry
from event_backbone.archive.group_states import GroupStates
from event_backbone.archive.pages_ahead import PAGE, PagesAhead
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment_writer import SegmentWriter
from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.errors import (
    ArchiveUnreadable,
    BackboneError,
    ConfigurationError,
    EventsLost,
    RequirementUnknown,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.model import EventKey, StreamName

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ArchiveNotes
    from event_backbone.stream.redis.work_lock import WorkLock

_FAILURES = (
    ArchiveUnreadable,
    ConfigurationError,
    EventsLost,
    RequirementUnknown,
    StorageUnavailable,
    StreamUnavailable,
)
_BACKOFF = Backoff(first=timedelta(milliseconds=200), longest=timedelta(seconds=5), jitter=0.25)
_POLL = timedelta(seconds=1)
_HELD_FOR = timedelta(seconds=10)
_GROUPS_EVERY = timedelta(seconds=10)
_LATE = timedelta(minutes=2)

_log = logging.getLogger("event_backbone")


class ArchiveLoop:
    """Archives one stream until it is stopped. It survives whatever Redis and S3 do.

    One archiver of a stream works at a time, the others wait until it has been silent for 10 s; that is only to save
    work, as any number may.
    """

    def __init__(
        self,
        archive: S3Archive,
        stream: StreamName,
        notes: ArchiveNotes,
        writer: SegmentWriter,
        groups: GroupStates,
        *,
        lock: WorkLock,
    ) -> None:
        """Archive ``stream`` while this process has ``lock``; nothing is read before ``run``."""
        self._archive = archive
        self._stream = stream
        self._notes = notes
        self._writer = writer
        self._groups = groups
        self._pages = PagesAhead(notes, writer.pacing)
        self._lock = lock
        self._held_until = 0.0
        self._checked = False
        self._groups_saved_at = 0.0
        self._waiting: list[tuple[EventKey, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self.stopping = writer.pacing.stopping
        self._failing_since = monotonic()
        self.problem: BackboneError | None = None
        self.lag = timedelta(0)

    @property
    def archived(self) -> int:
        """How many events were committed here."""
        return self._writer.archived

    async def run(self) -> None:
        """Archive until ``stopping`` is set."""
        delays, attributes = Delays(_BACKOFF), {"uri": self._stream.uri}
        try:
            while not self.stopping.is_set():
                try:
                    await self._writer.pacing.measured(partial(self._archive_on, delays))
                except _FAILURES as error:
                    self._failed(error)
                    telemetry.outages.add(1, {**attributes, "side": "archive"})
                    await pause(self._wake, delays.next())
                    self._wake.clear()
        finally:
            self._writer.drop_open()
            self._pages.drop()
            for _, waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(StorageUnavailable("The archiver was stopped before it had committed."))
            await self._let_go()

    async def check(self) -> None:
        """Check the archive before it is first used. Raises as ``S3Archive.check`` does."""
        if not self._checked:
            await self._archive.check(self._stream.environment)
            self._checked = True

    async def commit(self, until: EventKey) -> None:
        """Commit now, and return when everything up to this key is in the archive.

        Raises EventsLost, or StorageUnavailable if it was stopped before.
        """
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append((until, waiting))
        self._wake.set()
        await waiting

    def stop(self) -> None:
        """Stop after the request that is under way."""
        self.stopping.set()
        self._wake.set()

    async def _archive_on(self, delays: Delays) -> None:
        """Archive for as long as this archiver is the one that works; return when another one is."""
        await self.check()
        if not await self._holds():
            self._writer.drop_open()
            self._succeeded(delays)
            await self._rest(3 * _POLL)
            return
        await self._writer.locate()
        while not self.stopping.is_set() and await self._holds():
            read_all = await self._read()
            if self._is_due(read_all=read_all):
                read_all = await self._writer.commit() and read_all
            if self._waiting:
                self._writer.check(await self._notes.read())
            self._resolve(read_all=read_all)
            await self._save_groups()
            self._succeeded(delays)
            await self._rest(_POLL if read_all else timedelta(0))

    async def _read(self) -> bool:
        """Add the next page to the segment; return whether that was all there is, and none has to be read again."""
        entries, exists = await self._pages.page(self._writer.position, again=not self._writer.open)
        if not exists:  # Redis has lost everything: also what is in the archive, if there was anything
            self._writer.drop_open()
            await self._writer.locate()
            return False
        await self._writer.add(entries)
        return len(entries) < PAGE and (not entries or self._writer.position == entries[-1].key)

    def _is_due(self, *, read_all: bool) -> bool:
        """Return whether the open segment has to be committed: it is old enough, or has all that somebody waits for."""
        if not self._writer.open:
            return False
        if monotonic() - self._writer.open.opened_at >= self._archive.close_after.total_seconds():
            return True
        return bool(self._waiting) and (read_all or self._writer.position >= max(key for key, _ in self._waiting))

    async def _save_groups(self) -> None:
        """Save the groups' states, unless it was done lately, or Redis has lost what they are about."""
        if monotonic() - self._groups_saved_at < _GROUPS_EVERY.total_seconds():
            return
        self._writer.check(await self._notes.read())
        documents = await self._groups.take()
        self._writer.check(await self._notes.read())
        await self._groups.save(documents)
        await self._writer.erase_noted()
        self._groups_saved_at = monotonic()

    async def _holds(self) -> bool:
        """Return whether this archiver is the one that works, or may work beside it because somebody waits."""
        now = monotonic()
        if now < self._held_until - _HELD_FOR.total_seconds() / 2:
            return True
        held = await self._lock.hold(_HELD_FOR)
        self._held_until = now + _HELD_FOR.total_seconds() if held else 0.0
        return held or bool(self._waiting)

    async def _let_go(self) -> None:
        try:
            await self._lock.let_go()
        except StreamUnavailable:
            _log.debug("The archiver of stream %s could not say that it has stopped.", self._stream.key)

    async def _rest(self, longest: timedelta) -> None:
        """Wait until there may be something to do."""
        if longest and not self._waiting:
            await pause(self._wake, min(longest, self._archive.close_after / 4))
        else:
            await asyncio.sleep(0)
        self._wake.clear()

    def _resolve(self, *, read_all: bool) -> None:
        """Tell those who wait what is committed; all, if there is nothing more that could be."""
        for until, waiting in self._waiting:
            if not waiting.done() and (until <= self._writer.committed or (read_all and not self._writer.open)):
                waiting.set_result(None)
        self._waiting = [each for each in self._waiting if not each[1].done()]

    def _succeeded(self, delays: Delays) -> None:
        self.problem = None
        delays.reset()
        self._report()

    def _failed(self, error: BackboneError) -> None:
        if self.problem is None:
            self._failing_since = monotonic()
        if str(error) != str(self.problem):
            _log.warning("Stream %s is not archived at the moment; it will be retried: %s", self._stream.key, error)
        self.problem = error
        if not isinstance(error, StorageUnavailable):
            self._writer.drop_open()  # it may be of a Redis that had more than the one that there is now
        if isinstance(error, EventsLost):
            for _, waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)
            self._waiting = []
        self._report()

    def _report(self) -> None:
        attributes, oldest = {"uri": self._stream.uri}, self._writer.open.first
        age = 0.0 if oldest is None else time.time() - oldest.milliseconds / 1000
        failing = 0.0 if self.problem is None else monotonic() - self._failing_since
        self.lag = timedelta(seconds=max(0.0, age, failing))
        self._writer.pacing.late = timedelta(seconds=age) > _LATE
        telemetry.archive_lag.set(self.lag.total_seconds(), attributes)
        telemetry.events_lost.set(int(isinstance(self.problem, EventsLost)), attributes)
