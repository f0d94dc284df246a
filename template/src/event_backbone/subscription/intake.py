"""Where events come in: one loop looks, compares and reads, one after the other.

A **look** renews this member's row, which is its lease, and brings what is due and what dead members left behind. A
**comparison** asks the server what is pending under this member's name: it finds leases that were lost, and deliveries
whose answer was lost. A **read** takes what no member has had. They never run at the same time, so that none of them
meets the half-done work of another.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from time import monotonic

from event_backbone.backoff import Delays, pause
from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.stream.base import GroupReader
from event_backbone.stream.values import Delivery, Start
from event_backbone.subscription.in_flight import EventsInFlight, InFlight
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.outage import BACKOFF, Outage

_LOOK_EVERY_SECONDS = 1.0
_LOOKS_PER_LEASE = 4
_COMPARISONS_PER_LEASE = 4
_VALID_PART_OF_LEASE = 0.5
_EXACT_WITHIN = timedelta(seconds=10)


class Intake:
    """Takes events up, and keeps the lease.

    The group begins where ``start`` says when it is made for the first time. When it has vanished, with its stream or
    alone, it begins at the beginning: an event twice rather than never.
    """

    def __init__(
        self,
        reader: GroupReader,
        in_flight: EventsInFlight,
        outage: Outage,
        monitor: Monitor,
        *,
        take_up: Callable[[Sequence[InFlight]], None],
        resume: Callable[[], None],
        lease: timedelta,
        start: Start,
        stopping: asyncio.Event,
    ) -> None:
        """Read by ``reader`` until ``stopping``.

        ``take_up`` takes new events; ``resume`` is called when events may begin again.
        """
        self._reader = reader
        self._in_flight = in_flight
        self._outage = outage
        self._monitor = monitor
        self._take_up = take_up
        self._resume = resume
        self._lease = lease
        self._lease_seconds = lease.total_seconds()
        self._look_seconds = min(_LOOK_EVERY_SECONDS, self._lease_seconds / _LOOKS_PER_LEASE)
        self._start: Start | None = start
        self._first = True
        self._stopping = stopping
        self._next_look = 0.0
        self._next_comparison = 0.0
        self._due: list[float] = []
        self._more = False
        self._row_ended = False
        self._valid_until = 0.0
        self._reading_until = 0.0
        self.waking: set[asyncio.Task[None]] = set()
        self.started = asyncio.Event()
        self.last_step = monotonic()

    @property
    def ready(self) -> bool:
        """Whether the group exists, Redis answers, and the lease holds, as far as known."""
        return self._start is None and not self._outage.lasts and self.may_begin()

    def may_begin(self) -> bool:
        """Whether a handler may begin: the last look is recent, and after a lost row everything has been compared."""
        return monotonic() < self._valid_until and not self._row_ended

    def look_after(self, delay: timedelta) -> None:
        """Look again when this time has passed, if it is short: something of this member is due then.

        What is due later comes with the looks of every second.
        """
        if delay > _EXACT_WITHIN:
            return
        due = monotonic() + delay.total_seconds() + 0.001  # the server counts whole milliseconds
        heapq.heappush(self._due, due)
        if due < self._reading_until:
            self.wake()

    def wake(self) -> None:
        """End a waiting read, by a task that is among ``waking`` until it has ended."""
        self._reading_until = 0.0  # one call for each read
        task = asyncio.create_task(self._reader.wake())
        self.waking.add(task)
        task.add_done_callback(self.waking.discard)

    async def run(self) -> None:
        """Take events up until stopped. Raises only what waiting cannot solve."""
        await self._repeat(self._step, self._stopping.is_set, functools.partial(pause, self._stopping))

    async def keep_lease(self) -> None:
        """Look and compare without taking anything, until cancelled: for as long as handlers finish."""
        await self._repeat(self._keep, lambda: False, lambda delay: asyncio.sleep(delay.total_seconds()))

    async def _repeat(
        self,
        step: Callable[[], Awaitable[None]],
        ended: Callable[[], bool],
        pause_for: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        delays = Delays(BACKOFF)
        while not ended():
            self.last_step = monotonic()
            try:
                await step()
            except StreamUnavailable as error:
                self._outage.report(error)
                self._next_look = self._next_comparison = 0.0  # what the lost answer held is pending, unknown to us
                self.started.set()
                await pause_for(min(delays.next(), timedelta(seconds=self._look_seconds)))
            except GroupMissing:
                self._start = "beginning"
                await pause_for(delays.next())
            else:
                delays.reset()

    async def _step(self) -> None:
        if self._start is not None:
            await self._make_group(self._start)
        await self._look_and_compare(self._in_flight.room_at_a_look)
        self._outage.ended()
        if self._stopping.is_set():
            return
        wait_seconds = max(0.0, min(_LOOK_EVERY_SECONDS, self._seconds_to_look()))
        if self._more and self._in_flight.room_at_a_look > 0:
            wait_seconds = 0.0  # what waits is taken as fast as it is handled, not once a look
        room = self._in_flight.room
        if room == 0:
            await self._in_flight.wait_for_room(wait_seconds)
        elif self.may_begin():
            self._reading_until = monotonic() + wait_seconds
            try:
                deliveries = await self._reader.read(room, timedelta(seconds=wait_seconds))
            finally:
                self._reading_until = 0.0
            self._admit(deliveries)

    async def _keep(self) -> None:
        await self._look_and_compare(0)
        self._outage.ended()
        await asyncio.sleep(self._look_seconds)

    async def _look_and_compare(self, room: int) -> None:
        if self._seconds_to_look() <= 0 or (self._more and room > 0):
            await self._look(room)
        if self._row_ended or monotonic() >= self._next_comparison:
            await self._compare()

    def _seconds_to_look(self) -> float:
        next_look = min(self._next_look, self._due[0]) if self._due else self._next_look
        return next_look - monotonic()

    async def _look(self, room: int) -> None:
        sent = monotonic()
        look = await self._reader.look(self._lease, room)
        while self._due and self._due[0] <= sent:
            heapq.heappop(self._due)
        self._next_look = sent + self._look_seconds
        self._more = look.more
        self._row_ended = self._row_ended or look.row_ended
        self._valid_until = sent + self._lease_seconds * _VALID_PART_OF_LEASE
        if look.vanished:
            self._monitor.vanished(look.vanished)
        self._admit(look.deliveries)
        if not self._row_ended:
            self._resume()

    async def _compare(self) -> None:
        """Let go of what was lost, and take up what only the server knew."""
        sent = {event.key: (event, event.lease) for event in self._in_flight.events.values()}
        comparison = await self._reader.compare([lease for _, lease in sent.values()])
        for key in comparison.lost:
            event, lease = sent[key]
            # A call of its own may have ended or changed this lease meanwhile; that call knows what is true.
            if event.attempt == lease.attempt and event.stage != "settling":
                self._in_flight.lose(event)
        if comparison.vanished:
            self._monitor.vanished(comparison.vanished)
        self._next_comparison = monotonic() + self._lease_seconds / _COMPARISONS_PER_LEASE
        self._row_ended = False
        self._admit(comparison.deliveries)
        self._resume()

    def _admit(self, deliveries: Sequence[Delivery]) -> None:
        if not deliveries:
            return
        events = self._in_flight.admit(deliveries)
        if events:
            self._monitor.delivered(len(events), sum([event.attempt > 1 for event in events]))
            self._take_up(events)

    async def _make_group(self, start: Start) -> None:
        made = await self._reader.ensure(start)
        self._start = None
        if made and not self._first:
            self._monitor.group_recreated()
        self._first = False
        self._next_look = self._next_comparison = 0.0
        await self._look_and_compare(0)
        self._outage.ended()
        self.started.set()
