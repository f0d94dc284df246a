"""The claim loop: takes over events of consumers that give no sign of life."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.subscription.held import Held
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.outage import Outage, pause

_CLAIMS_PER_LEASE = 2
_MOST_EVENTS = 100


class ClaimLoop:
    """Claims twice a lease, at times spread by chance so that consumers do not claim all at once.

    Claims that find something follow each other at once, as soon as there is room.
    """

    def __init__(self, intake: Intake, held: Held, outage: Outage, lease: timedelta, stopping: asyncio.Event) -> None:
        """Claim into ``intake`` until ``stopping``."""
        self._intake = intake
        self._held = held
        self._outage = outage
        self._lease = lease
        self._stopping = stopping

    async def run(self) -> None:
        """Claim until stopped."""
        period = self._lease.total_seconds() / _CLAIMS_PER_LEASE
        while not self._stopping.is_set():
            claimed = await self._claim()
            while claimed != 0 and not self._stopping.is_set():
                if claimed is None:
                    await self._held.wait_for_room(period)
                claimed = await self._claim()
            await pause(self._stopping, period * random.uniform(0.75, 1.25))  # noqa: S311 - it spreads load

    async def _claim(self) -> int | None:
        """Claim once; return how many events came, or None when there was no room."""
        try:
            return await self._intake.claim(_MOST_EVENTS, self._lease)
        except StreamUnavailable as error:
            self._outage.report(error)
        except GroupMissing:
            # The read loop finds the same, and makes the group anew.
            pass
        return 0
