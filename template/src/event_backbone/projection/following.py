"""Follows a stream and its archive with a view: reads where the view is, folds what comes after, page by page."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from event_backbone import telemetry
from event_backbone.backoff import pause
from event_backbone.contract import Contract
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import BackboneError, ConfigurationError, EventsLost, ProjectionFailed
from event_backbone.event_loading import EventLoading
from event_backbone.model import EventKey, Metadata
from event_backbone.projection.checkpoint import Checkpoint
from event_backbone.projection.failures import Failures, OnFailure
from event_backbone.projection.folding import CheckpointMoved, EventFailed, Folding, StoreFailed
from event_backbone.projection.outages import Outages, Stopped
from event_backbone.projection.projection import Projection
from event_backbone.projection.store import ProjectionKey, ProjectionStore
from event_backbone.scanning import Scan
from event_backbone.stream.base import Stream
from event_backbone.wire.fields import RESTORED_HEADER

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads
    from event_backbone.policy import RetryPolicy

T = TypeVar("T")

_OTHERS = timedelta(milliseconds=200)  # for a process that folds the same events to go on, before this one looks again
_STAND_BY = timedelta(seconds=1)
_STORE_SECONDS = 5.0

_log = logging.getLogger("event_backbone.projection")


class Following(Generic[T]):
    """One projection that follows one stream.

    After whatever fails it reads the checkpoint again and goes on from there, so nothing that it remembers counts.
    """

    def __init__(
        self,
        projection: Projection[Contract, T],
        store: ProjectionStore[T],
        stream: Stream,
        loading: EventLoading,
        cold: ColdReads | None,
        *,
        retry: RetryPolicy,
        rebuild: bool,
        allow_gaps: bool,
    ) -> None:
        """Follow ``stream``; events come by ``loading``, those that have left the stream by ``cold``."""
        name = stream.name
        self._key = key = ProjectionKey(projection.name, name.uri, name.environment)
        self._projection, self._stream, self._loading, self._cold = projection, stream, loading, cold
        self._known: dict[tuple[str, int], bool] = {}
        self._allow_gaps = allow_gaps
        self._rebuild = rebuild
        self._doubtful = ""  # why the view of ``_checkpoint`` may have an event twice
        self._first = EventKey(0, 0, name.partition)
        self._checkpoint = Checkpoint(version=projection.version, after=self._first, since=self._first)
        self._stored_at = 0.0
        self._warned: BackboneError | EventKey | None = None
        self._attributes = {"uri": key.uri, "projection": key.projection}
        self._outages, self._wake = Outages(key), asyncio.Event()
        self._folding = Folding(projection, store, key)
        self._failures = Failures(retry, key, self._wake)
        self._standing_by: BackboneError | None = None
        self._lost: BackboneError | None = None
        self.position: EventKey | None = None  # None until the view was found or begun
        self.folded = self.builds = self.ends = 0
        self.caught_up = False  # since the view was begun, or found
        self._behind: EventKey | None = None

    @property
    def stopping(self) -> asyncio.Event:
        """Set when it is to end."""
        return self._outages.stopping

    @property
    def problem(self) -> BackboneError | None:
        """What keeps the view from being complete at the moment."""
        return self._outages.problem or self._standing_by or self._lost

    @property
    def lag(self) -> timedelta:
        """How old the oldest event is that is not folded, as far as is known; or how long an outage lasts."""
        age = 0.0 if self._behind is None else time.time() - self._behind.milliseconds / 1000
        return timedelta(seconds=max(0.0, age, self._outages.seconds))

    def on_failure(self, call: OnFailure) -> None:
        """Have each failed attempt at an event reported."""
        self._failures.on_failure = call

    def stop(self) -> None:
        """Ask it to end after the transaction that is under way."""
        self.stopping.set()
        self._wake.set()

    def begin_again(self) -> None:
        """Ask it to build the view again."""
        self._rebuild = True
        self._wake.set()

    async def newest(self) -> EventKey:
        """Return the newest key of the stream, also after an outage. Raises Stopped."""
        return await self._outages.outlast(self._stream.last_key)

    async def run(self) -> None:
        """Follow until it is stopped. Raises what cannot be retried."""
        try:
            while not self.stopping.is_set():
                self._wake.clear()
                try:
                    if await self._begin():
                        await self._follow()
                except CheckpointMoved:
                    await pause(self._wake, _OTHERS)
                except StoreFailed as failed:
                    await self._failures.store_failed(failed)
        except Stopped:
            pass

    async def watch(self, every: timedelta) -> None:
        """Report how far the view is behind, and whether Redis has lost events that it has, until cancelled."""
        while True:
            telemetry.projection_lag.set(self.lag.total_seconds(), self._attributes)
            position = self.position
            if position is not None:
                try:
                    lost = await self._stream.last_key() < position
                except BackboneError:
                    lost = self._lost is not None  # who reads reports it
                self._report_lost(lost=lost)
            await asyncio.sleep(every.total_seconds())

    async def _begin(self) -> bool:
        """Find out where the view is, or begin it; return whether it can be followed."""
        text = await self._folding.checkpoint()
        self._failures.store_answered()
        try:
            found = None if text is None else Checkpoint.parse(text)
        except ConfigurationError:
            if not self._rebuild:
                raise
            found = None
        version = self._projection.version
        if found is not None and found.version > version and not self._rebuild:
            self._stand_by(found.version)
            await pause(self._wake, _STAND_BY)
            return False
        self._standing_by = None
        reason = self._reason_to_begin(found)
        if found is None or reason:
            found = await self._begin_view(text, reason)
        self._checkpoint, self.position = found, found.after
        self._stored_at = monotonic()
        return True

    def _reason_to_begin(self, found: Checkpoint | None) -> str:
        doubtful, self._doubtful = self._doubtful, ""
        if self._rebuild:
            return "it was asked for"
        if found is None:
            return "there is none"
        if found.version != self._projection.version:
            return f"the projection has version {self._projection.version} now"
        return doubtful if found.since == self._checkpoint.since else ""  # else another process has begun it again

    async def _begin_view(self, text: str | None, reason: str) -> Checkpoint:
        since = await self.newest()
        await self._check_gap(self._first)
        new = Checkpoint(version=self._projection.version, after=self._first, since=since)
        await self._folding.empty(text, new)
        self._failures.succeeded()
        self._rebuild = False
        self.builds += 1
        self.caught_up = False
        telemetry.projection_rebuilt.add(1, self._attributes)
        text = "Projection %r begins its view of %s with the first event: %s."
        _log.info(text, self._key.projection, self._key.uri, reason)
        return new

    async def _follow(self) -> None:
        """Fold page after page, until the view is to be begun again."""
        scan = Scan(
            self._stream,
            self._cold,
            self._loading,
            position=self._checkpoint.after,
            stop=None,
            wanted=self._is_folded,
            follow=True,
        )
        try:
            while not self._rebuild:
                before = scan.position
                page = await self._outages.outlast(scan.next_page)
                await self._check_gap(before)
                if page and self._was_restored(page):
                    return
                if not await self._fold_page(page or (), scan.position):
                    return
                self.position = scan.position
                self._behind = None if scan.at_end or scan.position == before else scan.position
                self.ends += scan.at_end
                self.caught_up = self.caught_up or scan.at_end
        finally:
            await scan.close()

    async def _fold_page(self, events: Sequence[StoredEvent], position: EventKey) -> bool:
        """Fold events, after which the view is at ``position``; return False if they have to be read again."""
        is_late = position != self._checkpoint.after and monotonic() - self._stored_at > _STORE_SECONDS
        while events or is_late:
            part = events[: self._failures.most]
            after = position if len(part) == len(events) else part[-1].key
            new = Checkpoint(version=self._checkpoint.version, after=after, since=self._checkpoint.since)
            self._behind = part[0].key if part else self._behind
            try:
                await self._folding.fold(self._checkpoint, new, part)
            except EventFailed as failed:
                if await self._failures.event_failed(failed, self._folding.rejected):
                    return False
                continue
            self._failures.succeeded()
            self._checkpoint, self._stored_at, is_late = new, monotonic(), False
            self.folded += len(part)
            events = events[len(part) :]
        return True

    def _is_folded(self, metadata: Metadata) -> bool:
        known = self._known.get(identity := (metadata.event, metadata.version))
        if known is None:
            known = self._known[identity] = self._projection.folds(*identity)
        return known

    async def _check_gap(self, after: EventKey) -> None:
        """Refuse to go on after ``after`` if events have left the stream since, and there is no archive."""
        if self._cold is not None:
            return
        complete_from = await self._outages.outlast(self._stream.complete_from)
        if complete_from is None or complete_from <= after.successor():
            return
        text = (
            f"Events after {after} and before {complete_from} have left stream {self._stream.name.key}, which has no"
            f" archive, so the view of projection {self._key.projection!r} would lack them."
        )
        if not self._allow_gaps:
            raise ConfigurationError(f"{text} Pass allow_gaps=True to do without them.")
        if self._warned != complete_from:
            self._warned = complete_from
            _log.warning("%s It goes on without them.", text)

    def _was_restored(self, events: Sequence[StoredEvent]) -> bool:
        """Return whether the view has to be begun again, as it may have one of these events under an earlier key."""
        since = self._checkpoint.since
        later = (each for each in events if each.key > since and each.metadata.origin is None)
        found = next((each.key for each in later if RESTORED_HEADER in each.metadata.headers), None)
        if found is None:
            return False
        text = f"event {found} was restored, and the view may have it under the key that it had before"
        if self._cold is None:
            raise ProjectionFailed(
                f"Projection {self._key.projection!r} cannot go on: {text}. Build the view again with rebuild=True.",
                str(found),
            )
        self._doubtful = text
        return True

    def _stand_by(self, version: int) -> None:
        if self._standing_by is None:
            self._standing_by = ConfigurationError(
                f"The view of projection {self._key.projection!r} is of version {version}, and this program has version"
                f" {self._projection.version}: it stands by. To go back, give it a higher version or rebuild=True."
            )
            _log.warning("%s", self._standing_by)

    def _report_lost(self, *, lost: bool) -> None:
        if not lost:
            self._lost = None
        elif self._lost is None:
            self._lost = EventsLost(
                f"Redis has lost events of stream {self._stream.name.key} that projection {self._key.projection!r} has"
                " folded. Restore them; if there is nothing to restore from, build the view again or go on."
            )
            _log.error("%s", self._lost)
