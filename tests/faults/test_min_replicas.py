"""``min_replicas``: a produce call returns when replicas have the event, too."""

import os
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, Contract, OutcomeUnknown, event
from event_backbone.errors import ConfigurationError
from event_backbone.testing import RedisSentinel

URI = "orders"


class Orders(Contract):
    """Numbers."""

    @event
    def placed(self, number: int) -> None:
        """An order was placed."""


@pytest.fixture
def servers(redis_sentinel: RedisSentinel) -> RedisSentinel:
    """An empty primary with a replica in sync."""
    redis_sentinel.flush()
    redis_sentinel.wait_ready()
    return redis_sentinel


@pytest.fixture
async def primary(servers: RedisSentinel) -> AsyncIterator[Redis]:
    """A client of the primary."""
    async with Redis.from_url(servers.primary.url) as client:
        yield client


@contextmanager
def suspended(pid: int) -> Generator[None]:
    """Suspend a process for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def confirmed(servers: RedisSentinel, *, min_replicas: int = 1, seconds: float = 10) -> Backbone:
    """Return a backbone that waits for replicas."""
    return Backbone(servers.url, environment="", min_replicas=min_replicas, produce_timeout=timedelta(seconds=seconds))


async def test_an_event_is_on_a_replica_before_its_call_returns(servers: RedisSentinel, primary: Redis) -> None:
    """Also on a server that does not know the script yet."""
    async with confirmed(servers) as backbone, Redis.from_url(servers.replicas[0].url) as replica:
        producer = backbone.producer(Orders, uri=URI)
        for number in range(20):
            await producer.placed(number)
            assert await replica.xlen(URI) == number + 1
        await primary.script_flush()
        await producer.placed(20)
        assert await replica.xlen(URI) == 21


async def test_without_a_replica_the_outcome_is_unknown(servers: RedisSentinel, primary: Redis) -> None:
    """Never NotSent: the event is in the stream, once. Nobody takes it for replicated, nor on a new connection."""
    replica = servers.replicas[0]
    with suspended(replica.pid):
        async with confirmed(servers, seconds=1.2) as backbone:
            with pytest.raises(OutcomeUnknown, match="Only 0 of at least 1 replicas") as caught:
                await backbone.producer(Orders, uri=URI).placed(1)
        event_id = caught.value.event_id
        async with confirmed(servers, seconds=1.2) as backbone:
            with pytest.raises(OutcomeUnknown, match="Only 0 of at least 1 replicas"):
                await backbone.producer(Orders, uri=URI).placed.using(event_id=event_id)(1)
        assert await primary.xlen(URI) == 1
    async with confirmed(servers) as backbone:
        key = await backbone.producer(Orders, uri=URI).placed.using(event_id=event_id)(1)
        assert [each.key async for each in backbone.reader(URI).scan()] == [key]


async def test_more_replicas_than_there_are_are_named(servers: RedisSentinel) -> None:
    """The sentence says how many there are; a number that cannot be is refused at once."""
    async with confirmed(servers, min_replicas=3, seconds=1.5) as backbone:
        with pytest.raises(OutcomeUnknown, match=r"Only [01] of at least 3 replicas.*start more replicas, or lower"):
            await backbone.producer(Orders, uri=URI).placed(1)
    with pytest.raises(ConfigurationError, match="min_replicas must be 0 or more, not -1"):
        confirmed(servers, min_replicas=-1)
