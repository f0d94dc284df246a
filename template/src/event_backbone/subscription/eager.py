"""Starts tasks at once: each runs to where it first waits before the caller goes on.

A handler that never waits then costs no turn of the event loop, and what is done for many events, such as their acks,
is done for them together. Python has eager tasks since 3.12. For 3.11, which gets nothing but security fixes any more,
the first step of a task is taken from the event loop's queue, where it has just been put. On an event loop without such
a queue, as uvloop on 3.11, a task begins in its turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Coroutine
from contextvars import Context
from typing import TypeVar, cast

T = TypeVar("T")


def start_eagerly(
    loop: asyncio.AbstractEventLoop, running: Coroutine[object, None, T], context: Context
) -> asyncio.Task[T]:
    """Return a task that has begun, and may be done already. To be called by the running loop, within no task."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(running, loop=loop, context=context, eager_start=True)
    task = asyncio.Task(running, loop=loop, context=context)
    queue = cast("object", getattr(loop, "_ready", None))
    if isinstance(queue, deque):
        first_step = cast("deque[asyncio.Handle]", queue).pop()
        first_step._run()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - see above
    return task
