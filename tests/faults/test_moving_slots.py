"""Slots that move under load: nothing is lost, appended twice or handled by half a script."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest

from event_backbone import Backbone, Retention
from event_backbone.retention import retention_loop
from event_backbone.testing.servers import ClusterNode, RedisCluster
from tests.support.load import ENVIRONMENT, PRODUCE_TIMEOUT, STREAM, Load, under_load


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three primaries without replicas."""
    with RedisCluster(replicas=0) as servers:
        yield servers


@pytest.fixture
async def load(cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Load]:
    """Traffic with retries, dead letters, follow-ups that are produced once, and rounds of retention all the time."""
    cluster.flush()
    for pause in ("_FIRST", "_SHORTEST", "_LONGEST"):
        monkeypatch.setattr(retention_loop, pause, timedelta(milliseconds=100))
    make = partial(Backbone, cluster.url, environment=ENVIRONMENT, produce_timeout=PRODUCE_TIMEOUT)
    kept = Retention(max_age=timedelta(hours=1))
    async with under_load(make(), make(retention=kept), make(retention=kept)) as running:
        yield running


@asynccontextmanager
async def nothing_lost_or_repeated(load: Load) -> AsyncGenerator[None]:
    """Judge what happened in the block."""
    yield
    await load.more()
    assert (await load.settle()).problems() == {}
    assert await load.followed_up_twice() == []


def another(cluster: RedisCluster) -> ClusterNode:
    """Return a primary that does not have the stream."""
    owner = cluster.primary_of(STREAM)
    return next(node for node in cluster.nodes if node is not owner and node.is_primary())


@pytest.mark.parametrize("atomic", [False, pytest.param(True, marks=pytest.mark.long)], ids=["by key", "at once"])
async def test_a_slot_moves_there_and_back(cluster: RedisCluster, load: Load, *, atomic: bool) -> None:
    """Each acknowledged event is in the stream once and handled, key by key as well as all at one moment."""
    async with nothing_lost_or_repeated(load):
        home, there = cluster.primary_of(STREAM), another(cluster)
        for target in (there, home):
            await asyncio.to_thread(partial(cluster.move_slot, STREAM, to=target, atomic=atomic))
            await load.more()


@pytest.mark.long
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_a_move_that_stands_still_halfway_stops_the_stream_and_nothing_else(
    cluster: RedisCluster, load: Load, share: float
) -> None:
    """While some of its keys are there and some here, no script runs on half of them."""
    async with nothing_lost_or_repeated(load):
        move = await asyncio.to_thread(partial(cluster.begin_move, STREAM, to=another(cluster)))
        keys = move.source.command("CLUSTER", "COUNTKEYSINSLOT", move.slot)
        assert isinstance(keys, int)
        await asyncio.to_thread(move.move_keys, max(1, int(keys * share)))
        await asyncio.sleep(3)
        await asyncio.to_thread(move.finish)


@pytest.mark.long
async def test_a_node_that_is_added_gets_slots(load: Load, cluster: RedisCluster) -> None:
    """It is found by MOVED replies alone; all connections that are cut meanwhile open again."""
    async with nothing_lost_or_repeated(load):
        node = await asyncio.to_thread(cluster.add_node)
        await asyncio.to_thread(partial(cluster.move_slot, STREAM, to=node))
        await load.more()
        for each in cluster.nodes:
            each.command("CLIENT", "KILL", "TYPE", "normal")
        await load.more()
