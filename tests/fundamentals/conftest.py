"""Tests here run twice: in memory, and on a real Redis with its Redis Hash storage."""

from collections.abc import AsyncIterator

import pytest

from event_backbone import Backbone
from event_backbone.testing import memory_backbone


@pytest.fixture(params=["memory", "redis"])
async def backbone(request: pytest.FixtureRequest) -> AsyncIterator[Backbone]:
    """An open backbone whose streams are empty."""
    if request.param == "memory":
        made = memory_backbone()
    else:
        made = Backbone(request.getfixturevalue("redis_url"), environment="test")
    async with made as opened:
        yield opened
