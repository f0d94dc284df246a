"""Starts tasks eagerly: each runs to where it first waits before the caller goes on (fast path, see decision 0014).

Python has eager tasks since 3.12. For 3.11, which now gets security fixes only, the first step of a task is caught when
the task gives it to its event loop. On an event loop whose methods cannot be replaced, as uvloop on 3.11, a task begins
in its turn.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Protocol, TypeVar

T = TypeVar("T")


class EagerStart(Protocol):
    """Returns a task that has begun, and may be done already. To be called by the running loop, within no task."""

    def __call__(
        self,
        running: Coroutine[object, None, T],
        /,
        *,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> asyncio.Task[T]:
        """Start ``running`` in a context that no other task has."""
        ...


def eager_start(loop: asyncio.AbstractEventLoop) -> EagerStart:
    """Return what starts tasks of this event loop."""
    if sys.version_info >= (3, 12):
        return functools.partial(asyncio.Task, eager_start=True)
    if isinstance(loop, asyncio.BaseEventLoop) and "call_soon" not in vars(loop):
        return _CaughtStart(loop).start
    return asyncio.Task


class _CaughtStart:
    """Replaces ``call_soon`` of the event loop while a task is made, to run the task's first step at once."""

    __slots__ = ("_call_soon", "_context", "_first_step")

    def __init__(self, loop: asyncio.BaseEventLoop) -> None:
        self._call_soon = loop.call_soon
        self._context: contextvars.Context | None = None
        self._first_step: Callable[[], object] | None = None

    def start(
        self,
        running: Coroutine[object, None, T],
        /,
        *,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> asyncio.Task[T]:
        self._context = context
        loop.call_soon = self._catch  # type: ignore[method-assign, assignment] # pyright: ignore[reportAttributeAccessIssue]
        try:
            task = asyncio.Task(running, loop=loop, context=context)
        finally:
            del loop.call_soon
        if self._first_step is not None:
            first_step, self._first_step = self._first_step, None
            context.run(first_step)
        return task

    def _catch(
        self, callback: Callable[..., object], *args: object, context: contextvars.Context | None = None
    ) -> asyncio.Handle | None:
        if context is not self._context:  # not the task: the garbage collector may run anything meanwhile
            return self._call_soon(callback, *args, context=context)
        self._first_step = callback
        return None
