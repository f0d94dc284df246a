"""Keeps what is only nice to have, such as a cache, from slowing everything down while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from event_backbone.errors import ConfigurationError, PayloadConflict, StorageError

T = TypeVar("T")


class CircuitBreaker:
    """Passes calls on while they are answered in time.

    After one that was not, calls are left out for a while; then a single one tries whether the other side is back.
    """

    def __init__(self, timeout: timedelta, retry_after: timedelta) -> None:
        self._timeout = timeout.total_seconds()
        self._retry_after = retry_after.total_seconds()
        self._in_doubt = False
        self._open_until = 0.0

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return the call's answer; None when it was left out, failed, or took longer than the time-out."""
        if monotonic() < self._open_until:
            return None
        if self._in_doubt:
            self.avoid()  # this call tries it; those that come meanwhile are left out
        try:
            async with asyncio.timeout(self._timeout):
                answer = await call()
        except PayloadConflict:
            answer = None  # an answer, too: something is there already
        except (StorageError, ConfigurationError, TimeoutError):
            self.avoid()
            return None
        self._in_doubt, self._open_until = False, 0.0
        return answer

    def avoid(self) -> None:
        """Leave calls out from now on, for a while."""
        self._in_doubt = True
        self._open_until = monotonic() + self._retry_after
