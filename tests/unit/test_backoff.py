"""The delays between tries."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.errors import ConfigurationError
from event_backbone.subscription.outage import BACKOFF


def test_the_default_backoff_doubles_from_one_second_to_five_minutes() -> None:
    """Without jitter, the delays are 1, 2, 4, ... 300 seconds, and stay there however many attempts there are."""
    backoff = Backoff(random=lambda: 0.0)
    delays = [backoff.delay(attempt).total_seconds() for attempt in (1, 2, 3, 9, 10, 1_000_000)]
    assert delays == [1, 2, 4, 256, 300, 300]


def test_jitter_takes_off_up_to_a_quarter() -> None:
    """Events that failed together come back spread over the last quarter of the delay."""
    assert Backoff(random=lambda: 1.0).delay(3) == timedelta(seconds=3)
    assert Backoff(random=lambda: 1.0, jitter=0.0).delay(3) == timedelta(seconds=4)
    delays = {Backoff().delay(3) for _ in range(50)}
    assert len(delays) > 1
    assert all(timedelta(seconds=3) <= delay <= timedelta(seconds=4) for delay in delays)


def test_a_backoff_that_gives_no_delay_is_refused() -> None:
    """With a sentence that says what would."""
    with pytest.raises(ConfigurationError, match="first delay above zero"):
        Backoff(first=timedelta())
    with pytest.raises(ConfigurationError, match="factor of 1 or more"):
        Backoff(factor=0.5)


def test_delays_grow_and_begin_again_after_a_success() -> None:
    """During an outage from 50 ms, doubled up to 5 s, minus up to a half at random."""
    delays = Delays(BACKOFF)
    seconds = [delays.next().total_seconds() for _ in range(12)]
    assert 0.025 <= seconds[0] <= 0.05
    assert 0.05 <= seconds[1] <= 0.1
    assert all(2.5 <= each <= 5 for each in seconds[8:])
    delays.reset()
    assert delays.next() <= timedelta(milliseconds=50)


async def test_a_pause_ends_when_the_subscription_stops() -> None:
    """Not when its time is over."""
    stopping = asyncio.Event()
    pausing = asyncio.create_task(pause(stopping, timedelta(seconds=60)))
    stopping.set()
    async with asyncio.timeout(5):
        await pausing
