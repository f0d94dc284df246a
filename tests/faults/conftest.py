"""What most fault tests begin with."""

from collections.abc import AsyncIterator

import pytest

from event_backbone.backbone import Backbone


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone on an empty Redis."""
    async with Backbone(redis_url, environment="test") as opened:
        yield opened
