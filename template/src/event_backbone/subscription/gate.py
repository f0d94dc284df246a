"""Lets many events run at the same time, or a single one of the whole process alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary


class Gate:
    """Counts the events in their handlers; all subscriptions of an event loop share one.

    An event suspected of ending its process runs alone, so that it takes no neighbour with it. Once one asks for that,
    no other is let in until it is done. ``closed`` tells that one runs, or is about to run, alone.
    """

    def __init__(self) -> None:
        """Begin with nothing running."""
        self._running = 0
        self._turn = asyncio.Lock()
        self._quiet = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self.closed = False

    async def opened(self) -> None:
        """Wait until many may run again."""
        await self._open.wait()

    def enter(self) -> None:
        """Count one that begins; only while not ``closed``."""
        self._running += 1

    def leave(self) -> None:
        """Count one that has ended."""
        self._running -= 1
        if self._running == 0:
            self._quiet.set()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """Run the block while nothing else does: waits for what runs, and holds back what would begin."""
        async with self._turn:
            self._open.clear()
            self.closed = True
            try:
                while self._running:
                    self._quiet.clear()
                    await self._quiet.wait()
                yield
            finally:
                self.closed = False
                self._open.set()


_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, Gate] = WeakKeyDictionary()


def shared_gate() -> Gate:
    """Return the gate of the running event loop."""
    return _gates.setdefault(asyncio.get_running_loop(), Gate())
