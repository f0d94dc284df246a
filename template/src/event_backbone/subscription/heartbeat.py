"""The sign of life: one call renews every lease that is held."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from event_backbone.errors import StreamUnavailable
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Ladder, Outage, pause

_BEATS_PER_LEASE = 4


class HeartbeatLoop:
    """Renews what is held four times a lease, and lets go of what has been lost."""

    def __init__(
        self, leases: GroupLeases, held: Held, outage: Outage, lease: timedelta, stopped: asyncio.Event
    ) -> None:
        """Renew by ``leases`` until ``stopped``."""
        self._leases = leases
        self._held = held
        self._outage = outage
        self._seconds = lease.total_seconds() / _BEATS_PER_LEASE
        self._stopped = stopped

    async def run(self) -> None:
        """Beat until stopped; sooner again after a call that failed."""
        ladder = Ladder()
        while not self._stopped.is_set():
            try:
                await self.beat()
            except StreamUnavailable as error:
                self._outage.report(error)
                await pause(self._stopped, min(ladder.next(), self._seconds))
            else:
                ladder.reset()
                await pause(self._stopped, self._seconds)

    async def beat(self) -> None:
        """Renew everything once."""
        sent = {key: work.lease for key, work in self._held.works.items()}
        if not sent:
            return
        lost = await self._leases.renew(list(sent.values()))
        self._outage.ended()
        for key in lost:
            work = self._held.works.get(key)
            # A call of its own may have ended or changed this lease meanwhile; that call knows what is true.
            if work is not None and work.lease is sent[key] and work.stage != "settling":
                self._held.lose(work)
