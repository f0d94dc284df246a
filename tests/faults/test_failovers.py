"""Failovers under load, and what was acknowledged before them."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Literal

import pytest

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.testing.redis_server import RedisServer
from event_backbone.testing.servers import RedisCluster, RedisSentinel
from tests.support.history import Verdict
from tests.support.load import ENVIRONMENT, PRODUCE_TIMEOUT, STREAM, Load, under_load
from tests.support.parcels import URI

FROZEN_SECONDS = 3.0  # longer than a failover takes


@pytest.fixture
def sentinel() -> Iterator[RedisSentinel]:
    """A primary and a replica, to be broken."""
    with RedisSentinel() as servers:
        yield servers


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Three primaries and their replicas, to be broken."""
    with RedisCluster() as servers:
        yield servers


@asynccontextmanager
async def loaded(url: str, min_replicas: int = 0) -> AsyncGenerator[Load]:
    """Produce and consume on these servers for the time of the block."""
    make = partial(Backbone, url, environment=ENVIRONMENT, produce_timeout=PRODUCE_TIMEOUT)
    async with under_load(make(min_replicas=min_replicas), make(), make()) as load:
        yield load


async def fault(how: Literal["killed", "frozen"], primary: RedisServer, load: Load) -> None:
    """Break the primary; return when events are handled again, and when a frozen one has woken up and may answer."""
    if how == "killed":
        await asyncio.to_thread(primary.kill)
        await load.more()
        return
    os.kill(primary.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        os.kill(primary.pid, signal.SIGCONT)
    await load.more()


def problems_besides_losses(verdict: Verdict) -> dict[str, object]:
    """Return what asynchronous replication does not excuse."""
    return {name: value for name, value in verdict.problems().items() if name != "lost"}


@pytest.mark.long
async def test_a_requested_failover_of_sentinels_loses_only_what_the_old_primary_took_meanwhile(
    sentinel: RedisSentinel,
) -> None:
    """They promote the replica first and tell the old primary later; what that one took is counted as lost."""
    async with loaded(sentinel.url) as load:
        await asyncio.to_thread(sentinel.failover)
        await load.more()
        verdict = await load.settle()
        assert problems_besides_losses(verdict) == {}
        assert len(verdict.lost) < len(load.history.acknowledged)


@pytest.mark.parametrize("how", ["killed", pytest.param("frozen", marks=pytest.mark.long)])
async def test_sentinels_that_replace_a_primary_lose_only_what_no_replica_had(
    sentinel: RedisSentinel, how: Literal["killed", "frozen"], caplog: pytest.LogCaptureFixture
) -> None:
    """The others are there once and handled. A primary that wakes up again is not read from: no payload seems gone."""
    async with loaded(sentinel.url) as load:
        await fault(how, sentinel.primary, load)
        assert problems_besides_losses(await load.settle()) == {}
    assert "payload-gone" not in caplog.text


async def test_a_requested_failover_of_a_cluster_loses_and_repeats_nothing(cluster: RedisCluster) -> None:
    """The old primary stops taking writes until the new one has them all: no follow-up is produced twice either."""
    async with loaded(cluster.url) as load:
        await asyncio.to_thread(cluster.failover, STREAM)
        await load.more()
        assert (await load.settle()).problems() == {}
        assert await load.followed_up_twice() == []


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_cluster_that_replaces_a_primary_loses_only_what_no_replica_had(
    cluster: RedisCluster, how: Literal["killed", "frozen"]
) -> None:
    """The others are there once and handled."""
    async with loaded(cluster.url) as load:
        await fault(how, cluster.primary_of(STREAM), load)
        assert problems_besides_losses(await load.settle()) == {}


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", "frozen"])
@pytest.mark.parametrize(("servers", "replicas"), [(RedisSentinel, 2), (RedisCluster, 2)], ids=["sentinel", "cluster"])
async def test_what_a_replica_has_confirmed_survives_a_failover(
    servers: Callable[..., RedisSentinel | RedisCluster], replicas: int, how: Literal["killed", "frozen"]
) -> None:
    """With ``min_replicas=1`` nothing that was acknowledged is lost."""
    with servers(replicas=replicas) as made:
        primary = made.primary if isinstance(made, RedisSentinel) else made.primary_of(STREAM)
        async with loaded(made.url, min_replicas=1) as load:
            await fault(how, primary, load)
            assert (await load.settle()).problems() == {}


@pytest.mark.long
async def test_a_node_that_is_killed_for_good_is_forgotten(cluster: RedisCluster) -> None:
    """Its replica has taken its slots, and no client asks it again."""
    async with loaded(cluster.url) as load:
        await asyncio.to_thread(cluster.remove_node, cluster.primary_of(STREAM))
        await load.more()
        assert problems_besides_losses(await load.settle()) == {}


@pytest.mark.long
async def test_what_a_failover_lost_comes_back_from_archive_and_packs(
    sentinel: RedisSentinel, s3_environment: dict[str, str]
) -> None:
    """Every acknowledged event is there once and handled after ``restore``, some under new keys."""
    del s3_environment
    archive = S3Archive(close_after=timedelta(milliseconds=300))
    make = partial(Backbone, sentinel.url, storage=S3Storage(), archive=archive, environment=ENVIRONMENT)
    async with under_load(make(), make(), make()) as load, load.backbone.archiver(URI) as archiver:
        await archiver.commit()
        await asyncio.to_thread(sentinel.failover)
        await load.more()
        assert (await load.settle()).lost
        await load.backbone.restore(URI)
        for subscription in load.subscriptions:
            await subscription.until_idle()
        verdict = await load.verdict()
    assert (verdict.lost, verdict.twice, verdict.denied) == (set(), set(), set())
    assert [*verdict.unhandled.values()] == [set(), set()]
