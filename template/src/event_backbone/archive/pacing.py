"""How an archiver shares its process: it gives way to handlers, and works at full speed where nobody else does."""

from __future__ import annotations

import asyncio
from time import perf_counter, thread_time

SLICE = 50
"""How many events are written before others get their turn: less than a millisecond."""

_SHARE = 8
_LATE_SHARE = 2
_COST = 3  # of reading, loading and writing events, by that of writing them alone
_MEMORY = 0.9  # how much of what was measured before still counts


class Pacing:
    """Takes an eighth of a busy event loop at most, or half of it when the archive is late.

    Times are what this thread has computed, so it does not matter whether the machine is busy otherwise. The loop is
    busy if others compute as much as archiving does; once it is, it stays so until they leave half of it idle.
    """

    def __init__(self) -> None:
        """Begin with a slice."""
        self.late = False
        self._busy = False
        self._own = self._all = 0.0
        self._began = self._ended = thread_time()

    def begin(self) -> None:
        """Begin a slice of work."""
        self._began = thread_time()

    async def give_way(self) -> None:
        """End a slice of work, let others work, and begin the next slice."""
        own = (thread_time() - self._began) * _COST
        await asyncio.sleep(0)
        if self._busy:
            await self._rest(own * ((_LATE_SHARE if self.late else _SHARE) - 1))
        else:
            self._own = self._own * _MEMORY + own
            self._all = self._all * _MEMORY + thread_time() - self._ended
            self._busy = self._all > 2 * self._own
        self._began = self._ended = thread_time()

    async def _rest(self, seconds: float) -> None:
        slept, computed = perf_counter(), thread_time()
        await asyncio.sleep(seconds)
        self._busy = thread_time() - computed > (perf_counter() - slept) / 2
        self._own = self._all = 0.0
