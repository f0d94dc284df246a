"""Connections, queues and tasks belong to one event loop: their use in another is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from event_backbone.errors import ConfigurationError


class OneEventLoop:
    """The only event loop in which something works: the one in which it was made, or first used."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        """Take the running loop; without one, the loop of the first use."""
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def running(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. Raises ConfigurationError when it is another than before."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise ConfigurationError(
                    "This backbone was opened in another event loop; open one with `async with Backbone(...)` in each."
                )
            self._loop = loop
        return loop

    def refuse_another(self) -> None:
        """Raise ConfigurationError in another loop; outside any loop nothing is refused."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.running()

    def begin(self, work: Callable[[], Coroutine[object, object, None]]) -> asyncio.Task[None]:
        """Begin a task in the loop, also while it does not run."""
        return (self._loop or self.running()).create_task(work())

    def leave(self) -> None:
        """Forget the loop: the loop of the next use is taken."""
        self._loop = None
