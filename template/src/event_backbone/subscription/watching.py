"""The watch: measures how far the group is behind, for the metrics alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from event_backbone.backoff import pause
from event_backbone.errors import BackboneError
from event_backbone.stream.base import Stream
from event_backbone.subscription.monitoring import Monitor

_EVERY = timedelta(seconds=5)


class WatchLoop:
    """Asks every five seconds how the group stands. Each consumer of a group tells the same, of the whole group."""

    def __init__(self, stream: Stream, group: str, monitor: Monitor, stopping: asyncio.Event) -> None:
        """Watch ``group`` of ``stream`` until ``stopping``."""
        self._stream = stream
        self._group = group
        self._monitor = monitor
        self._stopping = stopping

    async def run(self) -> None:
        """Watch until stopped."""
        while True:
            await pause(self._stopping, _EVERY)
            if self._stopping.is_set():
                return
            await self.look()

    async def look(self) -> None:
        """Measure once. Never raises for what Redis answers, or does not."""
        try:
            states = await self._stream.groups()
        except BackboneError:
            # The read loop tells what is wrong with Redis; a server that does not let us ask is no reason to end.
            return
        for state in states:
            if state.name == self._group:
                self._monitor.stands(state)
