"""What a subscription does while Redis is away: tries again, ever less often, and tells it once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from event_backbone.errors import StreamUnavailable
from event_backbone.subscription.signals import Signals

T = TypeVar("T")

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 5.0


class Ladder:
    """Delays for one caller: 50 ms, doubled each time up to 5 s, each shortened by chance by up to a half."""

    def __init__(self) -> None:
        """Begin with the first delay."""
        self._seconds = _FIRST_SECONDS

    def next(self) -> float:
        """Return the next delay in seconds."""
        seconds = self._seconds
        self._seconds = min(seconds * 2, _LONGEST_SECONDS)
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._seconds = _FIRST_SECONDS


class Outage:
    """Whether Redis answers. Every loop of a subscription reports here, so that an outage is told once."""

    def __init__(self, signals: Signals) -> None:
        """Begin without an outage."""
        self._signals = signals
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        """Whether the last word was that Redis does not answer."""
        return self._since is not None

    def report(self, error: StreamUnavailable) -> None:
        """Report a failed call."""
        if self._since is None:
            self._since = monotonic()
            self._signals.outage_began(error)

    def ended(self) -> None:
        """Report a call that was answered."""
        if self._since is not None:
            lasted, self._since = monotonic() - self._since, None
            self._signals.outage_ended(timedelta(seconds=round(lasted, 3)))

    async def outlast(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat ``call`` until it is answered, and return the answer."""
        ladder = Ladder()
        while True:
            try:
                answer = await call()
            except StreamUnavailable as error:
                self.report(error)
                await asyncio.sleep(ladder.next())
            else:
                self.ended()
                return answer


class Refusals:
    """Calls that Redis refuses although it answers others, as a full server does: told once, and tried ever later."""

    def __init__(self, outage: Outage) -> None:
        """Tell ``outage``."""
        self._outage = outage
        self._ladder = Ladder()
        self._last = False

    def next(self, error: StreamUnavailable) -> timedelta:
        """Note a refused call, and return after how long to try it again."""
        if not self._last:
            self._last = True
            self._outage.report(error)
        return timedelta(seconds=self._ladder.next())

    def ended(self) -> None:
        """Note a call that was carried out."""
        self._last = False
        self._ladder.reset()


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Sleep, unless or until the subscription stops."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
