"""How an archiver shares its process: it gives way to handlers, and works at full speed where nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from functools import partial
from time import perf_counter, thread_time
from types import coroutine as generator_based
from typing import Any, TypeVar

from event_backbone.backoff import pause

SLICE = 50
"""How many events are written before others get their turn: less than a millisecond."""

_SHARE = 16
_LATE_SHARE = 2
_UNSEEN = 1.3  # what archiving costs the loop in all, with what connections compute, by what is measured of it
_BUSY = 1 / 3  # the loop is busy if others compute more than this share of what archiving computes
_IDLE = 0.25  # and idle if others compute for less than this share of the time
_MOST_CREDIT = 0.05  # seconds
_MEMORY = 0.9  # how much of what was measured before still counts

T = TypeVar("T")


class Pacing:
    """Takes a sixteenth of a busy event loop at most, or half of it when the archive is late.

    Times are what this thread has computed, so it does not matter whether the machine is busy otherwise. Once the loop
    is busy, it stays so until others leave it idle.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.late = False
        self.stopping = asyncio.Event()
        self._busy = False
        self._owed = self._own = self._others = 0.0
        self._computed = 0.0
        self._began = self._taken_at = thread_time()

    async def measured(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do what is part of archiving, and count what it computes. Whatever runs in a task of its own is measured.

        The work is begun here, so a task that is cancelled before it runs leaves no coroutine behind.
        """
        return await self._measured(work())

    async def give_way(self) -> bool:
        """Let others work, in a busy loop for as long as archiving has to rest; return False if it is to stop."""
        own, others = self._take()
        if self._busy:
            await self._rest(own)
        else:
            self._own, self._others = self._own * _MEMORY + own, self._others * _MEMORY + others
            self._busy = self._others > self._own * _BUSY
            await asyncio.sleep(0)
        return not self.stopping.is_set()

    async def _rest(self, own: float) -> None:
        """Rest for as long as others are to have the loop; where that becomes longer, the next rests are shorter."""
        self._owed += own * self._by_others
        began = perf_counter()
        await pause(self.stopping, timedelta(seconds=max(0.0, self._owed)))
        own, others = self._take()
        rested = perf_counter() - began
        self._owed = max(self._owed - rested, -_MOST_CREDIT) + own * self._by_others
        self._busy = others > rested * _IDLE

    @property
    def _by_others(self) -> int:
        """For how long others are to have the loop, by how long archiving has it."""
        return (_LATE_SHARE if self.late else _SHARE) - 1

    def _take(self) -> tuple[float, float]:
        """Return how long archiving, and how long others have computed since the last call."""
        now = thread_time()
        own = (self._computed + now - self._began) * _UNSEEN
        others = now - self._taken_at - own
        self._computed, self._began, self._taken_at = 0.0, now, now
        return own, others

    @generator_based
    def _measured(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Do the work step by step, as a task does, and measure each step."""
        step = partial(work.send, None)
        while True:
            self._began = thread_time()
            try:
                waits_for = step()
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._computed += thread_time() - self._began
            try:
                step = partial(work.send, (yield waits_for))
            except BaseException as error:  # noqa: BLE001 - it is the work's
                step = partial(work.throw, error)
