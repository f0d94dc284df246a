"""Leaves out calls that are only nice to have, such as to a cache, while the other side does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from event_backbone.errors import ConfigurationError, StorageError

T = TypeVar("T")


class CircuitBreaker:
    """Makes calls while they are answered in time (closed).

    After one that was not, calls are left out for a while (open); then a single call tries whether the other side is
    back (half-open).
    """

    def __init__(self, timeout: timedelta, retry_after: timedelta) -> None:
        self._timeout = timeout.total_seconds()
        self._retry_after = retry_after.total_seconds()
        self._closed = True
        self._open_until = 0.0

    async def call(self, function: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of ``function``; None when it was left out, failed, or took longer than the time-out."""
        if monotonic() < self._open_until:
            return None
        if not self._closed:
            self.open()  # half-open: this call is the trial, and those that come meanwhile are left out
        try:
            async with asyncio.timeout(self._timeout):
                result = await function()
        except (StorageError, ConfigurationError, TimeoutError):
            self.open()
            return None
        self._closed, self._open_until = True, 0.0
        return result

    def open(self) -> None:
        """Leave calls out from now on, for a while."""
        self._closed = False
        self._open_until = monotonic() + self._retry_after
