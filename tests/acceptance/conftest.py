"""What the system that this one succeeds could do: run in memory, on a real Redis, and with payloads in S3."""

from collections.abc import AsyncIterator

import pytest

from event_backbone.backbone import Backbone
from event_backbone.storage import S3Options, S3Storage
from event_backbone.testing.memory import memory_backbone
from event_backbone.testing.servers import S3Server


@pytest.fixture(params=["memory", "redis", "s3"])
async def backbone(request: pytest.FixtureRequest) -> AsyncIterator[Backbone]:
    """An open backbone whose streams are empty."""
    if request.param == "memory":
        async with memory_backbone() as opened:
            yield opened
        return
    url: str = request.getfixturevalue("redis_url")
    storage = _s3_storage(request) if request.param == "s3" else None
    async with Backbone(url, storage=storage, environment="test") as opened:
        yield opened


def _s3_storage(request: pytest.FixtureRequest) -> S3Storage:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("s3_bucket")
    return S3Storage(S3Options(bucket=bucket, endpoint=server.endpoint, access_key="any", secret_key="any"))
