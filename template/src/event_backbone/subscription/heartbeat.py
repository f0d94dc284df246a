"""The sign of life: one call renews every lease that is held."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from event_backbone.errors import StreamUnavailable
from event_backbone.stream.base import GroupLeases
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Ladder, Outage

_BEATS_PER_LEASE = 4


class HeartbeatLoop:
    """Renews what is held four times a lease, and lets go of what has been lost."""

    def __init__(self, leases: GroupLeases, held: Held, outage: Outage, lease: timedelta) -> None:
        """Renew by ``leases``."""
        self._leases = leases
        self._held = held
        self._outage = outage
        self._seconds = lease.total_seconds() / _BEATS_PER_LEASE

    async def run(self) -> None:
        """Beat until cancelled; sooner again after a call that failed."""
        ladder = Ladder()
        while True:
            try:
                await self.beat()
            except StreamUnavailable as error:
                self._outage.report(error)
                await asyncio.sleep(min(ladder.next(), self._seconds))
            else:
                ladder.reset()
                await asyncio.sleep(self._seconds)

    async def beat(self) -> None:
        """Renew everything once."""
        sent = {key: (work, work.lease) for key, work in self._held.works.items()}
        if not sent:
            return
        lost = await self._leases.renew([lease for _, lease in sent.values()])
        self._outage.ended()
        for key in lost:
            work, lease = sent[key]
            # A call of its own may have ended or changed this lease meanwhile; that call knows what is true.
            if work.held and work.attempt == lease.attempt and work.stage != "settling":
                self._held.lose(work)
