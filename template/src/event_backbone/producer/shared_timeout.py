"""A timeout with one timer for many waits."""

from __future__ import annotations

import asyncio
import math
from functools import cached_property
from types import TracebackType
from typing import cast


class SharedTimeout:
    """Like ``asyncio.timeout_at``, for many waits, few of which last too long (fast path, see decision 0005).

    The timer stays set when a wait ends. It is set again only when it has run out, or when a deadline comes before it.
    """

    def __init__(self) -> None:
        """Make a timeout whose timer is not set."""
        self._waits: set[Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._runs_out_at = math.inf

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of all waits, looked up once because that costs a system call on Python 3.11."""
        return asyncio.get_running_loop()

    def at(self, deadline: float) -> Wait:
        """Return a context for the running task that ends in TimeoutError at ``deadline``, in the loop's time."""
        return Wait(self, deadline)

    def stop(self) -> None:
        """Leave no timer behind, unless something still waits."""
        if not self._waits:
            self._clear_timer()

    def add(self, wait: Wait) -> None:
        """Let a wait end at its deadline."""
        self._waits.add(wait)
        if wait.deadline < self._runs_out_at:
            self._set_timer(wait.deadline)

    def remove(self, wait: Wait) -> None:
        """Leave a wait without a deadline."""
        self._waits.discard(wait)

    def _clear_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._runs_out_at = None, math.inf

    def _set_timer(self, deadline: float) -> None:
        self._clear_timer()
        self._timer = self.loop.call_at(deadline, self._timer_ran_out)
        self._runs_out_at = deadline

    def _timer_ran_out(self) -> None:
        self._clear_timer()
        now = self.loop.time()
        for wait in [each for each in self._waits if each.deadline <= now]:
            wait.expire()
        if self._waits:
            self._set_timer(min(wait.deadline for wait in self._waits))


class Wait:
    """One wait of one task."""

    __slots__ = ("_cancelling", "_expired", "_shared", "_task", "deadline")

    def __init__(self, shared: SharedTimeout, deadline: float) -> None:
        """Wait until ``deadline``, in the loop's time."""
        self._shared = shared
        self.deadline = deadline

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[object]", asyncio.current_task(self._shared.loop))  # only tasks wait
        self._cancelling = self._task.cancelling()
        self._expired = False
        self._shared.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shared.remove(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the wait."""
        self._shared.remove(self)
        self._expired = True
        self._task.cancel()
