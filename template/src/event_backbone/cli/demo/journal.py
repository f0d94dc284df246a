"""How the demo's processes report what they did: JSON lines on an inherited file descriptor."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from event_backbone.consumer import Context


class Journal:
    """Writes one JSON object a line, each in one write. The descriptor is closed when the process ends."""

    def __init__(self, descriptor: int) -> None:
        """Write to this file descriptor."""
        self._descriptor = descriptor

    def write(self, **entry: object) -> None:
        """Write one line, with the id of this process."""
        os.write(self._descriptor, to_json(entry | {"pid": os.getpid()}) + b"\n")

    async def interceptor(self, ctx: Context, call_next: Callable[[Context], Awaitable[None]], /) -> None:
        """Record each attempt to handle an event, and how it ended; a ``HandleInterceptor``."""
        outcome = "failed"
        try:
            await call_next(ctx)
            outcome = "handled"
        finally:
            self.write(key=str(ctx.metadata.key), event=ctx.metadata.event, attempt=ctx.attempt, outcome=outcome)
