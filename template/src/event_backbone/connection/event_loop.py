"""Connections, queues and tasks belong to one event loop: what is used from another one is refused."""

from __future__ import annotations

import asyncio

from event_backbone.errors import ConfigurationError


class OneEventLoop:
    """The event loop of something that works in no other: the one in which it was made, or first used."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        """Take the running loop; without one, the first that asks."""
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def running(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. Raises ConfigurationError in any other loop than its own."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                raise ConfigurationError(
                    "This backbone was opened in another event loop; open one with `async with Backbone(...)` in each."
                )
            self._loop = loop
        return loop

    def refuse_another(self) -> None:
        """Raise ConfigurationError in another loop; outside of any loop nothing is refused."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.running()

    def leave(self) -> None:
        """Belong to no loop any more: the next that asks will be its own."""
        self._loop = None
