"""A timeout that one task uses for many waits."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, cast


class ReusableTimeout:
    """Like ``asyncio.timeout_at``, for one task that waits often, and rarely too long (fast path, see decision 0005).

    The timer stays set from one wait to the next. It is set again only when it has run out, or when a deadline comes
    before it.
    """

    def __init__(self) -> None:
        """Make a timeout whose timer is not set."""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._deadline = 0.0
        self._cancelling = 0
        self._expired = False

    def at(self, deadline: float) -> Self:
        """Return itself as a context that ends in TimeoutError at ``deadline``, in the loop's time."""
        self._deadline = deadline
        return self

    def __enter__(self) -> None:
        task = self._task = cast("asyncio.Task[object]", asyncio.current_task())  # only tasks wait
        self._cancelling = task.cancelling()
        self._expired = False
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if not self._expired or task is None:
            return
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_at(self._deadline, self._timer_ran_out)

    def _timer_ran_out(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._deadline > asyncio.get_running_loop().time():
            self._set_timer()
        else:
            self._expired = True
            self._task.cancel()
