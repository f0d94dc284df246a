"""A pytest plugin with real servers, one of each for the session, started when the first test asks for it.

    pytest_plugins = ["event_backbone.testing.fixtures"]  # in tests/conftest.py

Their data is shared by all tests: ``flush`` of those of Redis and ``s3_server.reset()`` delete it.
"""

from collections.abc import Iterator

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.testing.redis_cluster import RedisCluster
from event_backbone.testing.redis_sentinel import RedisSentinel
from event_backbone.testing.redis_server import RedisServer
from event_backbone.testing.s3_server import S3Server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis-compatible server."""
    try:
        server = RedisServer()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster: three primaries, each with a replica."""
    try:
        cluster = RedisCluster()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[RedisSentinel]:
    """A primary and a replica, with three Sentinels that watch them."""
    try:
        servers = RedisSentinel()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with servers:
        yield servers


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, moto over HTTP."""
    try:
        server = S3Server()
        server.start()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with server:
        yield server
