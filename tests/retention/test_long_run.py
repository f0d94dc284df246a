"""Redis stays small, and nothing is lost to a living group, however long it goes on."""

import asyncio
from pathlib import Path

import pytest

from event_backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.settings import RedisSettings
from event_backbone.testing.servers import RedisServer
from tests.retention.long_run import (
    MAX_MEMORY_BYTES,
    MORTAL,
    QUICK,
    SLOW,
    LongRun,
    backbone_of,
    read_everything,
)
from tests.support.eventually import eventually
from tests.support.parcels import URI
from tests.support.retention import Retained

EVENTS = 1_000_000


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_million_events_go_through_64_mb(
    own_redis: RedisServer, s3_environment: object, tmp_path: Path
) -> None:
    """Three groups of different speed, one of which dies and returns when it is forgotten; workers are killed."""
    del s3_environment
    connection = RedisConnection(RedisSettings.parse(own_redis.url))
    await connection.command("CONFIG SET", "maxmemory", MAX_MEMORY_BYTES, "maxmemory-policy", "noeviction")
    async with asyncio.timeout(3600), backbone_of(own_redis.url) as backbone:
        retained = Retained(backbone, connection)
        run = LongRun(retained, own_redis.url, tmp_path, seed=1)
        for group in (QUICK, SLOW, MORTAL):
            await run.start(group)
        try:
            await run.produce(EVENTS // 5)
            await eventually(lambda: len(run.handled(MORTAL)) > 0)
            await run.kill(MORTAL)
            run.begin_killing()
            await retained.fall_silent(MORTAL)
            await run.produce(EVENTS * 4 // 5)
            await eventually(lambda: _is_forgotten(backbone, MORTAL), within_seconds=300)
            assert not await _is_forgotten(backbone, QUICK)
            assert not await _is_forgotten(backbone, SLOW)
            await run.start(MORTAL)
            await run.produce(EVENTS)
            await eventually(run.is_empty, within_seconds=600)
        finally:
            await run.close()
        for group in (QUICK, SLOW):
            assert run.handled(group).keys() == set(range(EVENTS))
        cut = next(each.cut for each in await backbone.groups(URI) if each.name == MORTAL)
        missing = set(range(EVENTS)) - run.handled(MORTAL).keys()
        assert len(missing) <= cut
        assert max(missing) - min(missing) <= cut  # one gap, and nothing after its return
        assert run.most_bytes < MAX_MEMORY_BYTES
        assert await read_everything(backbone) == EVENTS
        assert await retained.payloads() == 0
    await connection.close()


async def _is_forgotten(backbone: Backbone, group: str) -> bool:
    return next(each.forgotten for each in await backbone.groups(URI) if each.name == group)
