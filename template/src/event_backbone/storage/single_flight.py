"""One call for all who want the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Call(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class SingleFlight(Generic[K, T]):
    """Makes a call once for all who ask for the same key while it is under way, in one event loop.

    A caller that is cancelled does not end the call while others wait for it; it ends with the last of them. It runs in
    an empty context: what belongs to one caller, such as a span, is not the others'.
    """

    def __init__(self) -> None:
        self._calls: dict[K, _Call[T]] = {}

    def under_way(self, key: K) -> bool:
        """Return whether somebody waits for this key."""
        return key in self._calls

    async def call(self, key: K, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of the call for this key that is under way, else of ``function``. Raises what it raises."""
        call = self._calls.get(key)
        if call is None:
            task = asyncio.get_running_loop().create_task(function(), context=Context())
            call = self._calls[key] = _Call(task)
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if call.waiting == 0:
                del self._calls[key]
                if not call.task.done():
                    call.task.cancel()
                    await asyncio.wait({call.task})
