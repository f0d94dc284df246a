"""Growing delays between retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import random as random_share

from event_backbone.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A delay that grows with each attempt: ``first``, then ``factor`` times as long each time, up to ``longest``.

    ```python
    backoff = Backoff(first=timedelta(seconds=2), factor=3, longest=timedelta(minutes=10))
    retry = RetryPolicy(max_attempts=8, backoff=backoff)
    ```

    Each delay is shortened at random by up to the share ``jitter``, so that what failed together is not retried
    together. ``random`` returns numbers from 0 up to 1.
    """

    first: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    longest: timedelta = timedelta(minutes=5)
    jitter: float = 0.25
    random: Callable[[], float] = field(default=random_share, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse values that give no valid delay."""
        if not timedelta() < self.first <= self.longest:
            raise ConfigurationError(
                "Backoff needs a first delay above zero, and a longest delay that is at least as long."
            )
        if self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigurationError("Backoff needs a factor of 1 or more, and a jitter from 0 to 1.")

    def delay(self, attempt: int) -> timedelta:
        """Return the delay after attempt number ``attempt`` (from 1)."""
        seconds, longest = self.first.total_seconds(), self.longest.total_seconds()
        for _ in range(attempt - 1):
            if seconds >= longest or self.factor == 1:
                break
            seconds *= self.factor
        return timedelta(seconds=min(seconds, longest) * (1 - self.jitter * self.random()))


class Delays:
    """The delays of one caller that retries: each is longer than the last, until a success resets them."""

    def __init__(self, backoff: Backoff) -> None:
        """Start with the first delay of ``backoff``."""
        self._backoff = backoff
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many failures there were since the last success."""
        return self._failures

    def next(self) -> timedelta:
        """Return the delay after one more failure."""
        self._failures += 1
        return self._backoff.delay(self._failures)

    def reset(self) -> None:
        """Return to the first delay, after a success."""
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
