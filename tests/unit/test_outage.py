"""What a subscription does while Redis is away."""

import asyncio
import logging

import pytest

from event_backbone.errors import StreamUnavailable
from event_backbone.metadata import StreamName
from event_backbone.subscription.outage import Ladder, Outage, pause
from event_backbone.subscription.signals import Signals
from tests.support.metrics import CountedMetrics


def outage() -> Outage:
    """Return one that has not begun."""
    return Outage(Signals(StreamName.of("outage"), "group"))


def test_an_outage_is_told_once_however_many_calls_fail(caplog: pytest.LogCaptureFixture) -> None:
    """And once more when it has ended and another begins."""
    counted, away = CountedMetrics(), outage()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            for _ in range(3):
                away.report(StreamUnavailable("Away."))
            assert away.lasts
            away.ended()
            away.ended()
    assert not away.lasts
    assert counted.count("event_backbone.outages", uri="outage", side="consumer") == 2
    assert len(caplog.records) == 4


def test_tries_come_ever_less_often_and_at_once_again_after_a_success() -> None:
    """From 50 ms, doubled up to 5 s, less up to a half by chance."""
    ladder = Ladder()
    delays = [ladder.next() for _ in range(12)]
    assert 0.025 <= delays[0] <= 0.05
    assert 0.05 <= delays[1] <= 0.1
    assert all(2.5 <= delay <= 5 for delay in delays[8:])
    ladder.reset()
    assert ladder.next() <= 0.05


async def test_a_call_is_repeated_until_it_is_answered() -> None:
    """However often it failed before."""
    left = 2

    async def call() -> str:
        nonlocal left
        left -= 1
        if left >= 0:
            raise StreamUnavailable("Away.")
        return "answer"

    assert await outage().outlast(call) == "answer"
    assert left == -1


async def test_a_pause_ends_when_the_subscription_stops() -> None:
    """Not when its time is over."""
    stopping = asyncio.Event()
    pausing = asyncio.create_task(pause(stopping, 60))
    stopping.set()
    async with asyncio.timeout(5):
        await pausing
