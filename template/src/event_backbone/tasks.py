"""Tasks in the background that are asked to stop, and waited for."""

from __future__ import annotations

import asyncio


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
