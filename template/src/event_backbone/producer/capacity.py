"""How much may be on its way to a stream at once: calls beyond that wait their turn."""

from __future__ import annotations

import asyncio
from collections import deque

from event_backbone.errors import BackboneClosed, NotSent


class Capacity:
    """Bounds the events on their way to a stream, and the bytes of their payloads. First come, first admitted.

    A payload larger than the whole capacity is admitted once nothing else is on its way.
    """

    def __init__(self, events: int, size_bytes: int) -> None:
        """Admit up to ``events`` events with up to ``size_bytes`` of payload."""
        self._events = events
        self._size_bytes = size_bytes
        self._acquired_events = 0
        self._acquired_bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._closed = False
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def acquired_events(self) -> int:
        """How many events have acquired capacity and not released it yet."""
        return self._acquired_events

    def try_acquire(self, size_bytes: int) -> bool:
        """Take capacity for one event if there is some and nobody waits for it."""
        return not self._waiting and not self._closed and self._take(size_bytes)

    async def acquire(self, size_bytes: int, deadline: float) -> None:
        """Take capacity for one event, waiting for it until ``deadline``, in the event loop's time.

        Raises NotSent at the deadline, BackboneClosed once it is closed.
        """
        if self._closed:
            raise BackboneClosed("The backbone is closed.")
        if self.try_acquire(size_bytes):
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._wait_in_turn(size_bytes)
        except TimeoutError as error:
            raise NotSent(
                "Too many events are waiting for this stream, and no capacity became free in time."
            ) from error

    def release(self, size_bytes: int) -> None:
        """Give back what was acquired for one event."""
        self._acquired_events -= 1
        self._acquired_bytes -= size_bytes
        if self._acquired_events == 0:
            self._drained.set()
        if self._waiting:
            self._admit()

    def close(self) -> None:
        """Admit nobody any more; calls that wait end in BackboneClosed."""
        self._closed = True
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(BackboneClosed("The backbone was closed before the event was sent."))

    async def drained(self) -> None:
        """Wait until all capacity is released."""
        await self._drained.wait()

    async def _wait_in_turn(self, size_bytes: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size_bytes))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(size_bytes)  # admitted and cancelled at the same time
            else:
                self._admit()  # the next in turn may fit
            raise

    def _admit(self) -> None:
        while self._waiting:
            turn, size_bytes = self._waiting[0]
            if not turn.done():
                if not self._take(size_bytes):
                    return
                turn.set_result(None)
            self._waiting.popleft()

    def _take(self, size_bytes: int) -> bool:
        """Take capacity if it is enough, and say whether it was."""
        if self._acquired_events == 0:
            self._drained.clear()
        elif self._acquired_events >= self._events or self._acquired_bytes + size_bytes > self._size_bytes:
            return False
        self._acquired_events += 1
        self._acquired_bytes += size_bytes
        return True
