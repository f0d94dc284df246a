"""What the predecessor of this system could do: in memory, on a real Redis, and with payloads in S3."""

from collections.abc import AsyncIterator

import pytest

from event_backbone import Backbone
from event_backbone.storage import S3Options
from event_backbone.testing.servers import S3Server
from tests.acceptance.deployment import KINDS, Deployment


@pytest.fixture(params=KINDS)
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Makes backbones whose streams are empty."""
    kind: str = request.param
    if kind == "memory":
        return Deployment(redis=None, s3=None)
    redis: str = request.getfixturevalue("redis_url")
    return Deployment(redis, _s3_options(request) if kind == "s3" else None)


@pytest.fixture
async def backbone(deployment: Deployment) -> AsyncIterator[Backbone]:
    """An open backbone whose streams are empty."""
    async with deployment.backbone() as opened:
        yield opened


def _s3_options(request: pytest.FixtureRequest) -> S3Options:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket: str = request.getfixturevalue("s3_bucket")
    return S3Options(bucket=bucket, endpoint=server.endpoint, access_key="any", secret_key="any")
