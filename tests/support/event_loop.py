"""The event loop that tests, and the workers that they start, run on: asyncio's own, or uvloop's with ``--uvloop``."""

import asyncio
import os
from collections.abc import Callable

LOOP_VARIABLE = "EVENT_BACKBONE_TEST_EVENT_LOOP"
UVLOOP = "uvloop"

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def loop_factory() -> LoopFactory | None:
    """Return the loop factory for ``asyncio.Runner``; None means asyncio's own loop."""
    if os.environ.get(LOOP_VARIABLE) != UVLOOP:
        return None
    import uvloop

    return uvloop.new_event_loop
