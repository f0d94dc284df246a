"""A pytest plugin with real servers, one of each for the session, started when the first test asks for it.

    pytest_plugins = ["event_backbone.testing.fixtures"]  # in tests/conftest.py

Their data is shared by all tests: ``redis_server.flush()`` and ``s3_server.reset()`` delete it.
"""

from collections.abc import Iterator

import pytest

from event_backbone.errors import ConfigurationError
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
def s3_server() -> Iterator[S3Server]:
    """An S3 server, moto over HTTP."""
    try:
        server = S3Server()
        server.start()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with server:
        yield server
