"""What a projector does while Redis or a storage does not answer: tries again, and reports it once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.errors import BackboneError, RequirementUnknown, StorageUnavailable, StreamUnavailable
from event_backbone.projection.store import ProjectionKey

R = TypeVar("R")

_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=5), jitter=0.5)

_log = logging.getLogger("event_backbone.projection")


class Stopped(Exception):
    """The projector was asked to stop."""


class Outages:
    """Repeats calls that are not answered. ``problem`` is the error of the last one, while it lasts."""

    def __init__(self, key: ProjectionKey) -> None:
        """Begin without an outage."""
        self._key = key
        self._since = 0.0
        self.stopping = asyncio.Event()
        self.problem: BackboneError | None = None
        # Prometheus sees a counter rise only if it has seen the counter before.
        telemetry.outages.add(0, {"uri": key.uri, "side": "projection"})

    @property
    def seconds(self) -> float:
        """For how long there has been a problem."""
        return 0.0 if self.problem is None else monotonic() - self._since

    async def outlast(self, call: Callable[[], Awaitable[R]]) -> R:
        """Repeat ``call`` until it is answered; raise Stopped when the projector is asked to stop."""
        delays = Delays(_BACKOFF)
        while True:
            try:
                answer = await self._unless_stopped(call)
            except (StreamUnavailable, StorageUnavailable, RequirementUnknown) as error:
                self._failed(error)
                await pause(self.stopping, delays.next())
            else:
                self.problem = None
                return answer

    async def _unless_stopped(self, call: Callable[[], Awaitable[R]]) -> R:
        if self.stopping.is_set():
            raise Stopped
        calling, stopped = asyncio.ensure_future(call()), asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({calling, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                return calling.result()
            raise Stopped
        finally:
            calling.cancel()
            stopped.cancel()
            await asyncio.gather(calling, stopped, return_exceptions=True)

    def _failed(self, error: BackboneError) -> None:
        if self.problem is None:
            self._since = monotonic()
            telemetry.outages.add(1, {"uri": self._key.uri, "side": "projection"})
        if str(error) != str(self.problem):
            _log.warning(
                "Projection %r of %s cannot read events at the moment; it will be retried: %s",
                self._key.projection,
                self._key.uri,
                error,
            )
        self.problem = error
