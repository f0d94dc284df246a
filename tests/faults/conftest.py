"""What several files of fault tests begin with."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.settings import RedisSettings
from event_backbone.storage import S3Options, S3Storage
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_suite import StorageCase
from tests.support.faulty_s3 import FaultyS3, faulty_s3
from tests.support.seaweed import SeaweedServer

SOON = timedelta(seconds=1)


@pytest.fixture
async def server() -> AsyncIterator[FaultyS3]:
    """A server that does as it is told."""
    async with faulty_s3() as server:
        yield server


@pytest.fixture
def options(server: FaultyS3) -> S3Options:
    """Its address, with short time-outs."""
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
    """A storage there."""
    return StorageCase(S3Storage(options))


@pytest.fixture(scope="module")
def seaweed() -> Iterator[SeaweedServer]:
    """A real object store that checks credentials."""
    with SeaweedServer() as server:
        server.create_bucket("events")
        yield server


@pytest.fixture
async def connection(own_redis: RedisServer) -> AsyncIterator[RedisConnection]:
    """A connection to a server that the test may break."""
    connection = RedisConnection(RedisSettings.parse(own_redis.url))
    yield connection
    await connection.close()


@pytest.fixture
def streams(connection: RedisConnection) -> RedisStreams:
    """The streams of that server."""
    return RedisStreams(connection)
