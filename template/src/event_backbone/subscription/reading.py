"""The read loop: takes new events for as long as there is room, and mends what a fault has broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic

from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.stream.base import GroupReader
from event_backbone.stream.values import Start
from event_backbone.subscription.held import Held
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.outage import Ladder, Outage, pause
from event_backbone.subscription.signals import Signals

_WAIT = timedelta(seconds=1)


class ReadLoop:
    """Makes the group, reads, and recovers. Its reads are never cancelled: a cancelled one still takes its events.

    The group begins where ``start`` says when it is made for the first time. When it has vanished, with its stream or
    alone, it begins at the beginning: an event twice rather than never.
    """

    def __init__(
        self,
        reader: GroupReader,
        intake: Intake,
        held: Held,
        outage: Outage,
        signals: Signals,
        *,
        beat: Callable[[], Awaitable[None]],
        sweep: Callable[[], Awaitable[None]],
        start: Start,
        stopping: asyncio.Event,
    ) -> None:
        """Read by ``reader`` until ``stopping``.

        ``beat`` finds out which leases are lost, ``sweep`` removes what crashed consumers left in the group.
        """
        self._reader = reader
        self._intake = intake
        self._held = held
        self._outage = outage
        self._signals = signals
        self._beat = beat
        self._sweep = sweep
        self._start: Start | None = start
        self._first = True
        self._stopping = stopping
        self.started = asyncio.Event()
        self.last_step = monotonic()

    @property
    def ready(self) -> bool:
        """Whether the group exists and Redis answers, as far as known."""
        return self._start is None and not self._outage.lasts

    async def run(self) -> None:
        """Read until stopped. Raises only what waiting cannot solve."""
        ladder = Ladder()
        while not self._stopping.is_set():
            self.last_step = monotonic()
            try:
                await self._step()
            except StreamUnavailable as error:
                self._outage.report(error)
                self.started.set()
                await pause(self._stopping, ladder.next())
            except GroupMissing:
                self._start = "beginning"
                await pause(self._stopping, ladder.next())
            else:
                ladder.reset()

    async def _step(self) -> None:
        if self._start is not None:
            await self._make_group(self._start)
        if self._outage.recovery_due:
            await self._intake.recover()
            self._outage.ended()
        if await self._intake.read(_WAIT):
            self._outage.ended()
        else:
            await self._held.wait_for_room(_WAIT.total_seconds())

    async def _make_group(self, start: Start) -> None:
        made = await self._reader.ensure(start)
        self._start = None
        if self._first:
            self._first = False
            await self._sweep()
        else:
            if made:
                self._signals.group_recreated()
            await self._beat()
        self._outage.ended()
        self.started.set()
