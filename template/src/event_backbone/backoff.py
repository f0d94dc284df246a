"""Growing delays: how long to wait before trying again, and the waiting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from event_backbone.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A delay that grows with each attempt: ``first``, times ``factor`` each time, at most ``longest``.

    Up to the share ``jitter`` of it is taken off at random, so that what failed together does not return together.
    ``chance`` returns numbers from 0 up to 1.
    """

    first: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    longest: timedelta = timedelta(minutes=5)
    jitter: float = 0.25
    chance: Callable[[], float] = field(default=random.random, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what gives no delay."""
        if not timedelta() < self.first <= self.longest:
            raise ConfigurationError("Backoff needs a first delay above zero and a longest delay that is not shorter.")
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigurationError("Backoff needs a factor of 1 or more, and a jitter between 0 and 1.")

    def delay(self, attempt: int) -> timedelta:
        """Return the delay after attempt number ``attempt``, which counts from 1."""
        seconds, longest = self.first.total_seconds(), self.longest.total_seconds()
        for _ in range(attempt - 1):
            if seconds >= longest or self.factor == 1:
                break
            seconds *= self.factor
        return timedelta(seconds=min(seconds, longest) * (1 - self.jitter * self.chance()))


class Delays:
    """The delays of one caller that tries again: each longer than the one before, until a success resets them."""

    def __init__(self, backoff: Backoff) -> None:
        """Begin with the first delay of ``backoff``."""
        self._backoff = backoff
        self._failures = 0

    def next(self) -> timedelta:
        """Return the delay after one more failure."""
        self._failures += 1
        return self._backoff.delay(self._failures)

    def reset(self) -> None:
        """Begin with the first delay again, after a success."""
        self._failures = 0

    async def wait(self) -> None:
        """Sleep for the delay after one more failure."""
        await asyncio.sleep(self.next().total_seconds())


async def pause(stopping: asyncio.Event, delay: timedelta) -> None:
    """Sleep for ``delay``, or until ``stopping`` is set."""
    try:
        async with asyncio.timeout(delay.total_seconds()):
            await stopping.wait()
    except TimeoutError:
        pass
