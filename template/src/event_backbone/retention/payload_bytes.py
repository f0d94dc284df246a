"""What the payloads beside a stream take of Redis' memory: measured once, and kept up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from event_backbone.model import EventKey

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining
    from event_backbone.stream.redis.retention_values import Survey

_MOST_EVENTS = 200
_AGAIN_AFTER_SECONDS = 600.0  # erased payloads, and entries that others delete, change it unnoticed
_REST = 3


class PayloadBytes:
    """Measures the payloads of each entry once, and all of them again every ten minutes."""

    def __init__(self, retaining: RedisRetaining, hold: Callable[[], Awaitable[None]]) -> None:
        """Measure nothing yet; ``hold`` keeps the lock, and raises Interrupted when it is lost."""
        self._retaining = retaining
        self._hold = hold
        self._until: EventKey | None = None
        self._entries = self._bytes = 0
        self._again_at = 0.0

    async def measured(self, survey: Survey) -> int:
        """Return the bytes of all payloads up to now. Raises StreamUnavailable and Interrupted."""
        if self._until is None or monotonic() >= self._again_at or self._entries > survey.length:
            self.forget()
            self._again_at = monotonic() + _AGAIN_AFTER_SECONDS
        after, entries = self._until or EventKey(0, 0, survey.last.partition), _MOST_EVENTS
        while entries == _MOST_EVENTS:
            await self._hold()
            began = perf_counter()
            last, entries, size = await self._retaining.measure(after, _MOST_EVENTS)
            self._until = after = last or after
            self._entries += entries
            self._bytes += size
            await asyncio.sleep(_REST * (perf_counter() - began))
        return self._bytes

    def removed(self, entries: int, size: int) -> None:
        """Take off what was removed."""
        self._entries -= entries
        self._bytes = max(0, self._bytes - size)

    def forget(self) -> None:
        """Measure everything again next time."""
        self._until, self._entries, self._bytes = None, 0, 0
