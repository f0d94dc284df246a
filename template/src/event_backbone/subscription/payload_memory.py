"""How many bytes of payloads a subscription has in memory, however many events are in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol


class CountedEvent(Protocol):
    """An event in flight: whether it still is, and how many bytes of its payload count."""

    active: bool
    loaded_bytes: int


class PayloadMemory:
    """Bounds the payloads that are being loaded, or loaded and not finished with, running handlers included.

    A payload counts by the size that its metadata says. One that does not fit waits until others are released; first
    come, first admitted. While no other is loaded it is admitted, however large, so that nothing waits forever.

    Inline payloads come with their entries, so they wait for nothing, but leave less for others.

    ``turn`` is held by who waits, and keeps all others waiting.
    """

    def __init__(self, most_bytes: int, inline_bytes: Callable[[], int]) -> None:
        """Admit up to ``most_bytes``; ``inline_bytes`` returns how many bytes of inline payloads are in memory."""
        self._most_bytes = most_bytes
        self._inline_bytes = inline_bytes
        self._loaded_bytes = 0
        self.turn = asyncio.Lock()
        self._released = asyncio.Event()

    def try_take(self, events: Sequence[CountedEvent], sizes_bytes: Sequence[int]) -> bool:
        """Count the payloads of these events, which are in flight, if all fit and nobody waits; return whether so."""
        total = sum(sizes_bytes)
        if self.turn.locked() or self._loaded_bytes + self._inline_bytes() + total > self._most_bytes:
            return False
        for event, size_bytes in zip(events, sizes_bytes, strict=True):
            event.loaded_bytes = size_bytes
        self._loaded_bytes += total
        return True

    async def take(self, events: Sequence[CountedEvent], sizes_bytes: Sequence[int]) -> int:
        """Wait until the first payload fits; count it and those after it that fit too, and return how many.

        To be called within ``turn``. Payloads of events that are no longer in flight fit, and do not count.
        """
        while events[0].active and not self._fits(sizes_bytes[0], self._inline_bytes()):
            self._released.clear()
            await self._released.wait()
        taken, inline_bytes = 0, self._inline_bytes()
        for event, size_bytes in zip(events, sizes_bytes, strict=True):
            if event.active:
                if taken and not self._fits(size_bytes, inline_bytes):
                    break
                event.loaded_bytes = size_bytes
                self._loaded_bytes += size_bytes
            taken += 1
        return taken

    def release(self, size_bytes: int) -> None:
        """Count so many bytes no longer, and let who waits look again.

        Also with 0: inline payloads have gone, or its event is no longer in flight.
        """
        self._loaded_bytes -= size_bytes
        self._released.set()

    def _fits(self, size_bytes: int, inline_bytes: int) -> bool:
        loaded_bytes = self._loaded_bytes
        return loaded_bytes == 0 or loaded_bytes + inline_bytes + size_bytes <= self._most_bytes
