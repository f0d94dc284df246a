"""Tests here run twice: in memory, and on a real Redis with its Redis Hash storage."""

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
    """The streams below the backbone, for tests that do what other consumers would do. They are empty."""
    if request.param == "memory":
        yield MemoryStreams()
        return
    url: str = request.getfixturevalue("redis_url")
    connection = RedisConnection(RedisSettings.parse(url))
    opened = RedisStreams(connection)
    yield opened
    await opened.close()
    await connection.close()


@pytest.fixture
async def backbone(request: pytest.FixtureRequest, streams: Streams) -> AsyncIterator[Backbone]:
    """An open backbone whose streams are empty."""
    if isinstance(streams, MemoryStreams):
        async with Backbone(storage=MemoryStorage(), environment="test", _streams=streams) as opened:
            yield opened
    else:
        url: str = request.getfixturevalue("redis_url")
        async with Backbone(url, environment="test") as opened:
            yield opened
