"""Fixtures that several files of fault tests share."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from event_backbone.storage import S3Options, S3Storage
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_suite import StorageCase
from tests.faults.known_scripts import load_scripts
from tests.faults.proxy import Proxy, proxy_before
from tests.support.faulty_s3 import FaultyS3, faulty_s3

SOON = timedelta(seconds=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultyS3]:
    """A server with the faults that a test asks for."""
    async with faulty_s3() as server:
        yield server


@pytest.fixture
def options(server: FaultyS3) -> S3Options:
    """Its options, with short time-outs."""
    return S3Options(
        bucket="events",
        access_key="the-key",
        secret_key="the-secret",
        endpoint=server.endpoint,
        request_timeout=SOON,
        deadline=SOON * 3,
    )


@pytest.fixture
def case(options: S3Options) -> StorageCase:
    """A storage on that server."""
    return StorageCase(S3Storage(options))


@pytest.fixture
def fresh(options: S3Options) -> StorageCase:
    """Another one, which has read nothing yet."""
    return StorageCase(S3Storage(options))


@pytest.fixture
async def proxy(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Proxy]:
    """A proxy in front of an empty server that knows all scripts, so that a lost answer is that of a script itself."""
    await load_scripts(redis_url)
    async with proxy_before(redis_server.port) as proxy:
        yield proxy
