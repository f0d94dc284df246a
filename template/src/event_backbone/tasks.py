"""Tasks in the background that are asked to stop, and waited for."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from datetime import timedelta
from types import TracebackType

from event_backbone.errors import ConfigurationError


async def end_of(task: asyncio.Task[None]) -> BaseException | None:
    """Wait for the end of a task, and return what broke it; None if it ended by itself or was cancelled.

    If the wait is cancelled, so is the task, and its end is waited for.
    """
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    return None if task.cancelled() else task.exception()


class RunsOnce:
    """What runs in a task between entering and leaving an ``async with``; a base class that has no constructor."""

    _task: asyncio.Task[None] | None = None
    _raised = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait for the end. Raises what broke it, unless ``wait`` has, or another error is on its way."""
        self.stop()
        broken = await end_of(self._running())
        if broken is not None and error is None and not self._raised:
            raise broken

    @abstractmethod
    def stop(self, drain: timedelta | None = None) -> None:
        """Ask it to stop, and return at once."""

    async def wait(self) -> None:
        """Wait for its end: by itself, by ``stop``, or by what broke it, which is raised here.

        Cancelling the wait stops nothing.
        """
        try:
            await asyncio.shield(self._running())
        except Exception:
            self._raised = True
            raise

    @property
    def alive(self) -> bool:
        """Whether it runs. When False, and nothing has stopped it, restart the process."""
        return self._task is not None and not self._task.done()

    @property
    def _kind(self) -> str:
        return type(self).__name__.lower()

    def _refuse_second_run(self) -> None:
        if self._task is not None:
            raise ConfigurationError(f"This {self._kind} runs once; make another one for another run.")

    def _begin(self, running: Coroutine[object, None, None]) -> None:
        self._task = asyncio.create_task(running)

    def _running(self) -> asyncio.Task[None]:
        if self._task is None:
            raise ConfigurationError(f"This {self._kind} must be entered, by async with, before it can be used.")
        return self._task
