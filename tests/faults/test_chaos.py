"""Everything at once: all that can happen to servers, networks and processes while events are produced and consumed.

A seed decides which faults come, in which order and for how long, and how each event's handler behaves; the moments at
which they meet are the machine's own. EVENT_BACKBONE_TEST_CHAOS_SEEDS names other seeds, such as ``7`` or ``21-60``.
"""

import os
from collections.abc import AsyncIterator

import pytest

from event_backbone.testing.servers import RedisServer
from tests.faults.chaos.chaos_round import Outcome, chaos
from tests.faults.chaos.checks import problems_of, summary
from tests.faults.worker import report
from tests.support.faulty_s3 import FaultyS3, faulty_s3

SEEDS_VARIABLE = "EVENT_BACKBONE_TEST_CHAOS_SEEDS"
ALL = 20
MOST_TOLD = 20


def seeds() -> list[object]:
    """Return the seeds that were named; else the first, as each has every fault, and with ``--all`` all of them."""
    if chosen := os.environ.get(SEEDS_VARIABLE):
        first, _, last = chosen.partition("-")
        return list(range(int(first), int(last or first) + 1))
    return [pytest.param(seed, marks=[pytest.mark.long] * (seed > 1)) for seed in range(1, ALL + 1)]


@pytest.fixture
async def s3(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyS3]:
    """An S3 that misbehaves on request, also named in this environment, which the workers inherit."""
    async with faulty_s3() as server:
        for name, value in {
            "ACCESS_KEY": "the-key",
            "BUCKET": "events",
            "ENDPOINT": server.endpoint,
            "REGION": "us-east-1",
            "SECRET": "the-secret",
        }.items():
            monkeypatch.setenv(f"S3_EVENT_SOURCE_{name}", value)
        yield server


def judge(outcome: Outcome) -> None:
    """Report what happened (``-rP`` shows it), and fail when a promise was broken."""
    report(summary(outcome))
    problems = problems_of(outcome)
    assert not problems, "\n".join(problems[:MOST_TOLD])


@pytest.mark.parametrize("seed", seeds())
async def test_chaos_on_redis_hash_loses_nothing(own_redis: RedisServer, seed: int) -> None:
    """Each acknowledged event is in the stream once, and was handled or became a dead letter for its own reason."""
    judge(await chaos(seed, own_redis))


@pytest.mark.parametrize("seed", seeds())
async def test_chaos_on_s3_loses_nothing(own_redis: RedisServer, s3: FaultyS3, seed: int) -> None:
    """The same with payloads in an S3 that refuses, cuts off, loses answers, or never answers."""
    judge(await chaos(seed, own_redis, s3))
