"""What a subscription does while Redis is away."""

import logging

import pytest

from event_backbone.errors import StreamUnavailable
from event_backbone.model import StreamName
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.outage import Outage
from tests.support.metrics import CountedMetrics


def outage() -> Outage:
    """Return one that has not begun."""
    return Outage(Monitor(StreamName.of("outage"), "group"))


def test_an_outage_is_reported_once_however_many_calls_fail(caplog: pytest.LogCaptureFixture) -> None:
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
