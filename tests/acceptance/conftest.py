"""What the system that this one succeeds could do: run in memory and on a real Redis."""

from collections.abc import AsyncIterator

import pytest

from event_backbone.backbone import Backbone
from event_backbone.testing.memory import memory_backbone


@pytest.fixture(params=["memory", "redis"])
async def backbone(request: pytest.FixtureRequest) -> AsyncIterator[Backbone]:
    """An open backbone whose streams are empty."""
    if request.param == "memory":
        async with memory_backbone() as opened:
            yield opened
    else:
        url: str = request.getfixturevalue("redis_url")
        async with Backbone(url, environment="test") as opened:
            yield opened
