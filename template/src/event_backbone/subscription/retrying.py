"""Events that wait for their next attempt, each until its own time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from event_backbone.errors import StreamUnavailable
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Ladder, Outage
from event_backbone.subscription.work import Work


class RetryLoop:
    """Begins attempts when they are due. A waiting event keeps its lease."""

    def __init__(
        self, leases: GroupLeases, held: Held, outage: Outage, again: Callable[[Sequence[Work]], None]
    ) -> None:
        """Begin attempts by ``leases``; ``again`` takes what is due."""
        self._leases = leases
        self._held = held
        self._outage = outage
        self._again = again
        self._due: list[tuple[float, int, Work, Callable[[], Awaitable[None]]]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._ladder = Ladder()

    def add(self, work: Work, after: timedelta, *, counts: bool) -> None:
        """Let an event that was handled come again ``after`` from now; ``counts`` makes that its next attempt."""
        self._held.move(work, "waiting")
        self.call(work, after, lambda: self._begin(work, counts=counts))

    def postpone(self, work: Work, after: timedelta) -> None:
        """Let an event that could not be started come again ``after`` from now, its attempt not yet used."""
        self.call(work, after, lambda: self._begin(work, counts=False))

    def call(self, work: Work, after: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        """Do something about an event ``after`` from now, if it is still held then."""
        due = asyncio.get_running_loop().time() + after.total_seconds()
        heapq.heappush(self._due, (due, next(self._order), work, act))
        self._wake.set()

    async def run(self) -> None:
        """Begin attempts until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if not self._due or self._due[0][0] > loop.time():
                await self._sleep(self._due[0][0] - loop.time() if self._due else None)
                continue
            _, _, work, act = heapq.heappop(self._due)
            if work.held:
                await act()

    async def _begin(self, work: Work, *, counts: bool) -> None:
        if counts:
            self._held.move(work, "settling")
            try:
                delivery = await self._leases.begin_attempt(work.lease)
            except StreamUnavailable as error:
                self._outage.report(error)
                self.add(work, timedelta(seconds=self._ladder.next()), counts=True)
                return
            self._ladder.reset()
            if delivery is None:
                # After a lost answer the attempt may have begun already: then it is found as nobody's.
                self._held.lose(work)
                self._outage.recovery_due = True
                return
            work.begin(delivery)
        self._held.move(work, "unstarted")
        self._again([work])

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
