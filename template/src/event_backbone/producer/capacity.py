"""How much may be on its way to a stream at once: calls beyond that wait their turn."""

from __future__ import annotations

import asyncio
from collections import deque

from event_backbone.errors import BackboneClosed


class Capacity:
    """Capacity for so many events and so many bytes of payload. Who comes first is let in first.

    A payload larger than the whole room is let in when the room is empty.
    """

    def __init__(self, events: int, size_bytes: int) -> None:
        """Make an empty room."""
        self._events = events
        self._size_bytes = size_bytes
        self._events_taken = 0
        self._bytes_taken = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._closed = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def events(self) -> int:
        """How many events are in the room."""
        return self._events_taken

    def take_now(self, size_bytes: int) -> bool:
        """Take room for one event if there is some and nobody waits for it."""
        if self._waiting or self._closed or not self._fits(size_bytes):
            return False
        self._take(size_bytes)
        return True

    async def take(self, size_bytes: int) -> None:
        """Wait until there is room for one event, and take it. Raises BackboneClosed when there never will be."""
        if self._closed:
            raise BackboneClosed("The backbone is closed.")
        if self.take_now(size_bytes):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size_bytes))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back(size_bytes)  # let in and cancelled at once
            else:
                self._let_in()  # whoever stood behind may fit
            raise

    def give_back(self, size_bytes: int) -> None:
        """Give back what ``take`` took."""
        self._events_taken -= 1
        self._bytes_taken -= size_bytes
        if self._events_taken == 0:
            self._empty.set()
        if self._waiting:
            self._let_in()

    def close(self) -> None:
        """Let nobody in any more; whoever waits is told so."""
        self._closed = True
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(BackboneClosed("The backbone was closed before the event was sent."))

    async def emptied(self) -> None:
        """Wait until all that was taken is given back."""
        await self._empty.wait()

    def _fits(self, size_bytes: int) -> bool:
        return self._events_taken == 0 or (
            self._events_taken < self._events and self._bytes_taken + size_bytes <= self._size_bytes
        )

    def _take(self, size_bytes: int) -> None:
        if self._events_taken == 0:
            self._empty.clear()
        self._events_taken += 1
        self._bytes_taken += size_bytes

    def _let_in(self) -> None:
        while self._waiting:
            turn, size_bytes = self._waiting[0]
            if not turn.done():
                if not self._fits(size_bytes):
                    return
                self._take(size_bytes)
                turn.set_result(None)
            self._waiting.popleft()
