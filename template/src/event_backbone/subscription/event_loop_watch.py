"""Notices that the event loop is blocked, and names the handler that blocks it.

While a handler blocks, as by ``time.sleep`` or a synchronous client, nothing else of the process runs: no other
handler and no look, so in the end the lease is lost. The loop itself cannot notice; a thread can.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from types import CodeType, FrameType

from event_backbone import telemetry
from event_backbone.subscription.monitoring import Monitor

_TICK_SECONDS = 0.25
_BLOCKED_AFTER = timedelta(seconds=1)


class EventLoopWatch:
    """Measures the loop's lag four times a second, and warns once for each handler that blocks it for a second."""

    def __init__(self, handlers: Mapping[CodeType, str], monitor: Monitor) -> None:
        """Watch the running loop; ``handlers`` says which name belongs to which function's code."""
        self._handlers = handlers
        self._monitor = monitor
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._ticked_at = monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = threading.Event()
        self._reported: set[str] = set()
        self._thread = threading.Thread(target=self._watch, name="event-backbone-event-loop-watch", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. May be called twice."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = monotonic()
        telemetry.loop_lag.record(max(0.0, now - self._ticked_at - _TICK_SECONDS), self._monitor.attributes)
        self._ticked_at = now
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def _watch(self) -> None:
        blocked_seconds = _BLOCKED_AFTER.total_seconds()
        while not self._ended.wait(_TICK_SECONDS):
            if monotonic() - self._ticked_at > _TICK_SECONDS + blocked_seconds:
                frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - it is documented
                name = self._blocking_handler(frames.get(self._loop_thread))
                if name is not None and name not in self._reported:
                    self._reported.add(name)
                    self._monitor.blocked(name, _BLOCKED_AFTER)

    def _blocking_handler(self, frame: FrameType | None) -> str | None:
        while frame is not None:
            name = self._handlers.get(frame.f_code)
            if name is not None:
                return name
            frame = frame.f_back
        return None
