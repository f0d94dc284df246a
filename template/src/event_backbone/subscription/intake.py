"""Where deliveries come in: new ones, claimed ones, and those whose answer was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from event_backbone.stream.base import GroupReader
from event_backbone.stream.values import Delivery
from event_backbone.subscription.held import Held
from event_backbone.subscription.outage import Outage
from event_backbone.subscription.signals import Signals
from event_backbone.subscription.work import Work


class Intake:
    """Takes deliveries up and sends each on its way: to be loaded with others, or to be run alone."""

    def __init__(
        self,
        reader: GroupReader,
        held: Held,
        outage: Outage,
        signals: Signals,
        *,
        ordinary: Callable[[Sequence[Work]], None],
        suspicious: Callable[[Sequence[Work]], None],
    ) -> None:
        """Take up what ``reader`` gives; the callables take what is to be done."""
        self._reader = reader
        self._held = held
        self._outage = outage
        self._signals = signals
        self._ordinary = ordinary
        self._suspicious = suspicious
        # A claim whose answer is still to come would be found by a recovery as well, and be run twice.
        self._turn = asyncio.Lock()

    async def read(self, wait: timedelta) -> bool:
        """Read what nobody has had yet, as far as there is room; return whether there was room."""
        if not self._held.limited:
            return await self._read(wait)
        # Reading and claiming at the same time might take more than the limit leaves.
        async with self._turn:
            return await self._read(wait)

    async def claim(self, most: int, idle: timedelta) -> int | None:
        """Take over what its consumer no longer renews; return how many events, or None when there is no room."""
        async with self._turn:
            count = min(self._held.room, most)
            if count == 0:
                return None
            claimed = await self._reader.claim(count, idle, self._held.works.keys())
            self._admit(claimed.deliveries)
        if claimed.vanished:
            self._signals.vanished(claimed.vanished)
        return len(claimed.deliveries)

    async def recover(self) -> None:
        """Take up what the server holds to be this consumer's, and this consumer knows nothing of."""
        async with self._turn:
            self._outage.recovery_due = False
            try:
                self._admit(await self._reader.recover(self._held.works.keys()))
            except BaseException:
                self._outage.recovery_due = True
                raise

    async def _read(self, wait: timedelta) -> bool:
        room = self._held.room
        if room:
            self._admit(await self._reader.read(room, wait))
        return room > 0

    def send(self, works: Sequence[Work]) -> None:
        """Send events on their way."""
        suspicious = [work for work in works if work.suspicious]
        if suspicious:
            self._suspicious(suspicious)
            works = [work for work in works if not work.suspicious]
        if works:
            self._ordinary(works)

    def _admit(self, deliveries: Sequence[Delivery]) -> None:
        works = self._held.admit(deliveries)
        if not works:
            return
        again = sum([work.attempt > 1 for work in works])
        self._signals.delivered(len(works), again)
        if again:
            self.send(works)
        else:
            self._ordinary(works)  # nothing is suspicious the first time
