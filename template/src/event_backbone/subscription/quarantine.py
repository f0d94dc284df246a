"""Events that may have ended their process: each runs alone, or goes to the dead letters as crashed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

from event_backbone.errors import StreamUnavailable
from event_backbone.policy import RetryPolicy
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loading import Loader
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.outcome import Outcome
from event_backbone.subscription.settlement import Settlement
from event_backbone.subscription.workers import Workers

_SHORTEST_BREAK_SECONDS = 0.05


class Quarantine:
    """Runs suspects one at a time, while nothing else of this subscription runs, with others between them.

    An event is a suspect after two deliveries that ended unexplained, whether it was the cause or just in flight
    beside it, and once its process has ended while it ran alone. Only ends alone count towards its dead letter.

    A suspect waits ``alone_for`` at most for the handlers that run already, and holds back the others for as long at
    most: then they go on beside it, and it is not blamed for what happens from then on.
    """

    def __init__(
        self,
        leases: GroupLeases,
        in_flight: EventsInFlight,
        outage: Outage,
        monitor: Monitor,
        *,
        loader: Loader,
        workers: Workers,
        settlement: Settlement,
        retry: RetryPolicy,
        alone_for: timedelta,
    ) -> None:
        """Run what is in ``in_flight`` by ``workers``, one event at a time."""
        self._leases = leases
        self._in_flight = in_flight
        self._outage = outage
        self._monitor = monitor
        self._loader = loader
        self._workers = workers
        self._settlement = settlement
        self._retry = retry
        self._alone_for = alone_for
        self._suspects: list[InFlight] = []
        self._wake = asyncio.Event()
        self._not_alone: set[asyncio.Task[Outcome]] = set()
        self.running_alone = False

    def add(self, events: Sequence[InFlight]) -> None:
        """Take these; the least suspected goes first, then the oldest."""
        for event in events:
            self._in_flight.move(event, "suspected")
        self._suspects.extend(events)
        self._wake.set()

    async def run(self) -> None:
        """Run suspects until cancelled; a suspect that runs is not cancelled with it."""
        while True:
            if not self._suspects:
                self._wake.clear()
                await self._wake.wait()
                continue
            # One that ended its process alone comes last: it would keep those behind it from ever being handled.
            event = min(self._suspects, key=lambda each: each.ends_alone)
            self._suspects.remove(event)
            if not event.active:
                continue
            letter = self._retry.crashed(event.failures, event.ends_alone)
            if letter is not None:
                self._monitor.crashed(event.key, letter)
                self._settlement.settle(event, letter)
            elif await self._loader.load_one(event) and event.active:
                held_back_seconds = await self._run_alone(event)
                # As much time for the others: many suspects must not hold them up for long.
                await asyncio.sleep(max(held_back_seconds, _SHORTEST_BREAK_SECONDS))

    async def _run_alone(self, event: InFlight) -> float:
        """Run a suspect; return for how many seconds it held back others."""
        began = monotonic()
        self.running_alone = True
        self._workers.pause()
        try:
            await self._workers.wait_idle(self._alone_for, besides=self._not_alone)
            await self._mark_and_begin(event)
        finally:
            self.running_alone = False
            self._monitor.ran_alone()
            self._workers.resume()
        return monotonic() - began

    async def _mark_and_begin(self, event: InFlight) -> None:
        if not event.active:
            return
        lease = event.lease
        try:
            lost = await self._leases.mark_alone(lease)
        except StreamUnavailable as error:
            self._settlement.refused(event, error)
            return
        if event.key in lost:
            self._in_flight.lose(event)
        if not event.active or self._workers.closed:
            return
        self._monitor.runs_alone(event.key, event.attempt)
        task = await self._workers.begin_alone(event)
        if task is None:
            return
        await asyncio.wait((task,), timeout=self._alone_for.total_seconds())
        if not task.done():
            self._not_alone.add(task)
            task.add_done_callback(self._not_alone.discard)
            self._monitor.no_longer_alone(event.key, self._alone_for)
            await self._outage.outlast(lambda: self._leases.unmark_alone(lease))
