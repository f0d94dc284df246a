"""Two Redis servers, and backbones on both sides of a link."""

from collections.abc import AsyncIterator, Iterator

import pytest

from event_backbone import Backbone
from event_backbone.testing.servers import RedisServer


@pytest.fixture(scope="session")
def other_server() -> Iterator[RedisServer]:
    """A second Redis of the session."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def other_url(other_server: RedisServer) -> str:
    """The URL of the second Redis, which is empty."""
    other_server.flush()
    return other_server.url


@pytest.fixture
async def source(redis_url: str) -> AsyncIterator[Backbone]:
    """The backbone from which events are forwarded."""
    async with Backbone(redis_url, environment="test", site="west") as backbone:
        yield backbone


@pytest.fixture
async def target(other_url: str) -> AsyncIterator[Backbone]:
    """The backbone to which events are forwarded: the same environment, on another Redis."""
    async with Backbone(other_url, environment="test", site="east") as backbone:
        yield backbone
