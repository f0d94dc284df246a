"""This subscription as a member of its group: its lease, and the three calls by which it is given events.

A **look** renews the member's row at the server, which is its lease, and brings what is due and what ended members left
behind. A **comparison** asks what is pending under the member's name: it finds leases that were lost, and deliveries
whose answer was lost. A **read** takes what no member has had.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

from event_backbone.stream.base import GroupReader
from event_backbone.stream.values import Comparison, Delivery, Look, Missed, Start
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.monitoring import Monitor

LOOK_EVERY_SECONDS = 1.0
_LOOKS_PER_LEASE = 4
_COMPARISONS_PER_LEASE = 4
# The server may still carry out a call whose connection is gone; a read may wait there for LONGEST_WAIT, one second.
_ABANDONED_CALLS_END_SECONDS = 1.5
_VALID_PART_OF_LEASE = 0.5
_EXACT_WITHIN = timedelta(seconds=10)


class Member:
    """Holds the lease of everything in flight here.

    Its calls must run one after the other, so that none of them meets the half-done work of another. They raise
    GroupMissing and StreamUnavailable; after the latter call ``renew_now``.
    """

    def __init__(self, reader: GroupReader, in_flight: EventsInFlight, monitor: Monitor, lease: timedelta) -> None:
        """Be the member that ``reader`` reads for; ``in_flight`` is what it has taken."""
        self._reader = reader
        self._in_flight = in_flight
        self._monitor = monitor
        self._lease = lease
        self._lease_seconds = lease.total_seconds()
        self.look_seconds = min(LOOK_EVERY_SECONDS, self._lease_seconds / _LOOKS_PER_LEASE)
        self._next_look = 0.0
        self._next_comparison = 0.0
        self._answer_lost = False
        self._due: list[float] = []
        self._row_ended = False
        self._valid_until = 0.0
        self._reading_until = 0.0
        self.more = False
        self.parked = 0
        self.waking: set[asyncio.Task[None]] = set()

    def may_begin(self) -> bool:
        """Whether a handler may begin: the last look is recent, and after a lost row everything has been compared."""
        return monotonic() < self._valid_until and not self._row_ended

    def look_after(self, delay: timedelta) -> None:
        """Look again after ``delay``, if it is short: something that this member parked is due then.

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

    def renew_now(self) -> None:
        """Look and compare next: the answer to a call was lost, so events may be pending here that nobody knows of.

        Compare once more when the server has ended whatever it still carries out for the lost connection.
        """
        self._next_look = self._next_comparison = 0.0
        self._answer_lost = True

    @property
    def seconds_to_look(self) -> float:
        """In how many seconds the next look is due; not positive: now."""
        next_look = min(self._next_look, self._due[0]) if self._due else self._next_look
        return next_look - monotonic()

    @property
    def must_compare(self) -> bool:
        """Whether a comparison is due: every quarter of a lease, twice after a lost answer, at once without a row."""
        return self._row_ended or monotonic() >= self._next_comparison

    async def look(self, capacity: int) -> Sequence[Delivery]:
        """Renew the lease and take up to ``capacity`` events.

        ``more`` says that there were more to take, ``parked`` how many of the group wait.
        """
        sent = monotonic()
        look = await self._reader.look(self._lease, capacity)
        while self._due and self._due[0] <= sent:
            heapq.heappop(self._due)
        self._next_look = sent + self.look_seconds
        self.more, self.parked = look.more, look.parked
        self._row_ended = self._row_ended or look.row_ended
        self._valid_until = sent + self._lease_seconds * _VALID_PART_OF_LEASE
        self._missing(look)
        return look.deliveries

    async def compare(self) -> Sequence[Delivery]:
        """Let go of what was lost, and return what only the server knew."""
        sent = {event.key: (event, event.lease) for event in self._in_flight.events.values()}
        comparison = await self._reader.compare([lease for _, lease in sent.values()])
        for key in comparison.lost:
            event, lease = sent[key]
            # Its own call may have ended or changed this lease meanwhile; that call knows better.
            if event.attempt == lease.attempt and event.stage != "settling":
                self._in_flight.lose(event)
        self._missing(comparison)
        wait_seconds = self._lease_seconds / _COMPARISONS_PER_LEASE
        if self._answer_lost:
            wait_seconds, self._answer_lost = min(wait_seconds, _ABANDONED_CALLS_END_SECONDS), False
        self._next_comparison = monotonic() + wait_seconds
        self._row_ended = False
        return comparison.deliveries

    async def read(self, count: int, wait_seconds: float) -> Sequence[Delivery]:
        """Return up to ``count`` new events, waiting for the first; ``wake`` and ``look_after`` end the waiting."""
        self._reading_until = monotonic() + wait_seconds
        try:
            return await self._reader.read(count, timedelta(seconds=wait_seconds))
        finally:
            self._reading_until = 0.0

    async def ensure_group(self, start: Start) -> bool:
        """Make the group unless it exists; return whether it was made."""
        made = await self._reader.ensure(start)
        self._next_look = self._next_comparison = 0.0
        return made

    async def missed(self) -> Missed | None:
        """Return what was removed before the group had finished it, as ``GroupReader.missed`` does."""
        return await self._reader.missed()

    def _missing(self, found: Look | Comparison) -> None:
        """Report entries that were pending and are no longer in the stream."""
        if found.vanished:
            self._monitor.vanished(found.vanished)
        if found.erased:
            self._monitor.erased(found.erased)

    async def leave(self) -> None:
        """Leave the group; what is still in flight is taken by others within a second."""
        await self._reader.leave()
