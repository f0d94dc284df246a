"""Tests here run twice unless they need their own server: in memory, and on a real Redis."""

from collections.abc import AsyncIterator

import pytest

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.settings import RedisSettings
from event_backbone.storage import MemoryStorage
from event_backbone.stream.base import Streams
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.redis import RedisStreams


@pytest.fixture(params=["memory", "redis"])
async def streams(request: pytest.FixtureRequest) -> AsyncIterator[Streams]:
    """The empty streams below the backbone, to act as other members of a group."""
    if request.param == "memory":
        yield MemoryStreams()
        return
    connection = RedisConnection(RedisSettings.parse(request.getfixturevalue("redis_url")))
    yield RedisStreams(connection)
    await connection.close()


@pytest.fixture
async def backbone(request: pytest.FixtureRequest, streams: Streams) -> AsyncIterator[Backbone]:
    """An open backbone on these streams."""
    if isinstance(streams, MemoryStreams):
        made = Backbone(storage=MemoryStorage(), environment="test", _streams=streams)
    else:
        made = Backbone(request.getfixturevalue("redis_url"), environment="test")
    async with made as opened:
        yield opened
