"""Objects that belong to one event loop, made when they are first needed there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One ``T`` for each running event loop, so that its owner may serve several, one after another or at once."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def get(self) -> T:
        """Return the object of the running loop; make it if there is none."""
        loop = asyncio.get_running_loop()
        found = self._made.get(loop)
        if found is None:
            found = self._made[loop] = self._make()
        return found

    def take(self) -> T | None:
        """Remove the object of the running loop and return it, for closing; None when there was none."""
        return self._made.pop(asyncio.get_running_loop(), None)
