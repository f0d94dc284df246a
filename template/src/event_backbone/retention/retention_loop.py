"""Carries out the retention of one stream for as long as this process is the one that does."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from random import random
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.errors import BackboneError, EventsLost, StreamUnavailable
from event_backbone.model import StreamName
from event_backbone.place import place_of, type_name
from event_backbone.retention.round import Round
from event_backbone.retention.stream_metrics import StreamMetrics
from event_backbone.retention.trimming import Removed
from event_backbone.stream.redis.retention_values import Interrupted

if TYPE_CHECKING:
    from event_backbone.stream.redis.work_lock import WorkLock

_FIRST = timedelta(seconds=1)
_SHORTEST = timedelta(seconds=1)
_LONGEST = timedelta(seconds=10)
_ONLY_REPORT_EVERY = timedelta(seconds=30)
_HELD_FOR = timedelta(seconds=25)
_RENEW_SECONDS = 5.0
_BACKOFF = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=30))

_log = logging.getLogger("event_backbone")


class Lock:
    """The lock of a stream's retention, renewed while it is used."""

    def __init__(self, lock: WorkLock) -> None:
        """Hold nothing yet."""
        self._lock = lock
        self._renew_at = 0.0
        self.stopping = asyncio.Event()

    async def take(self) -> bool:
        """Take or keep the lock; return False if another process has it. Raises StreamUnavailable."""
        now = monotonic()
        held = await self._lock.hold(_HELD_FOR)
        self._renew_at = now + _RENEW_SECONDS if held else 0.0
        return held

    async def hold(self) -> None:
        """Keep the lock; raise Interrupted when stopping, or if another process has it or may have had it."""
        if self.stopping.is_set():
            raise Interrupted
        if monotonic() < self._renew_at:
            return
        had = self._renew_at > 0
        if not await self.take() or (had and self.was_free):
            raise Interrupted

    @property
    def was_free(self) -> bool:
        """Whether another process may have had the lock before it was last taken."""
        return self._lock.was_free

    async def let_go(self) -> None:
        """Give up the lock, if Redis answers."""
        self._renew_at = 0.0
        try:
            await self._lock.let_go()
        except StreamUnavailable:
            _log.debug("The lock of retention was not given up: Redis does not answer.")


class RetentionLoop:
    """Carries out retention, round by round, and reports the stream's metrics.

    It survives whatever Redis does, and never ends by itself. Without retention it only reports.
    """

    def __init__(self, stream: StreamName, lock: Lock, metrics: StreamMetrics, work: Round | None) -> None:
        """Do nothing before ``run``."""
        self._stream = stream
        self._lock = lock
        self._metrics = metrics
        self._work = work
        self._holds = False
        self._interval = _SHORTEST
        self._problem = ""
        self.stopping = lock.stopping

    async def run(self) -> None:
        """Work until ``stopping`` is set."""
        delays = Delays(_BACKOFF)
        await pause(self.stopping, _FIRST * (0.5 + random()))  # noqa: S311 - spreads processes that start together
        try:
            while not self.stopping.is_set():
                try:
                    await self._step()
                    delays.reset()
                    self._problem = ""
                    await pause(self.stopping, self._interval)
                except Interrupted:
                    await pause(self.stopping, _LONGEST)
                except Exception as error:  # noqa: BLE001 - a programming error must not let Redis fill
                    self._report_problem(error)
                    await pause(self.stopping, delays.next())
        finally:
            if self._holds:
                await self._lock.let_go()

    async def _step(self) -> None:
        await self._metrics.report()
        if self._work is None:
            self._interval = _ONLY_REPORT_EVERY
            return
        held, self._holds = self._holds, await self._lock.take()
        if not self._holds:
            self._interval = _LONGEST
            return
        if not held or self._lock.was_free:
            self._work.begin()
        removed = await self._work.run()
        self._report_cuts(removed)
        self._interval = _SHORTEST if removed.events else min(2 * self._interval, _LONGEST)

    def _report_cuts(self, removed: Removed) -> None:
        for (group, forgotten), events in removed.cuts.items():
            why = "it has had no consumer for too long" if forgotten else "the stream had reached max_bytes"
            _log.error(
                "%d events of %s were removed before group %s had finished them: %s.",
                events,
                self._stream.key,
                group,
                why,
            )

    def _report_problem(self, error: Exception) -> None:
        if self._work is None:
            return  # others report what is wrong with Redis
        known = isinstance(error, BackboneError)
        problem = str(error) if known else f"{type_name(error)}, raised at {' > '.join(place_of(error))}."
        if problem != self._problem:
            self._problem = problem
            ends = "" if isinstance(error, EventsLost) else " It will be retried."
            _log.warning("No events are removed from %s at the moment: %s%s", self._stream.key, problem, ends)
