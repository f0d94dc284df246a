"""Real servers for every test: one Redis and one S3 per session, clean for each test that asks for them.

Set EVENT_BACKBONE_TEST_REDIS_BINARIES to several server binaries, separated like PATH, to run each test on all of them.
Tests marked ``topologies`` run on a server, a Redis under Sentinel and a cluster.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import pytest
from botocore.loaders import create_loader
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.settings import RedisSettings, Topology
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import EmbeddedRedis, RedisCluster, RedisSentinel, RedisServer, S3Server
from tests.support.clients import plain_client
from tests.support.event_loop import LOOP_VARIABLE, UVLOOP, LoopFactory, loop_factory
from tests.support.metrics import CountedMetrics
from tests.support.seaweed import SeaweedServer
from tests.support.spans import stop_tracing

BINARIES_VARIABLE = "EVENT_BACKBONE_TEST_REDIS_BINARIES"

TOPOLOGIES_FOLDERS = {"forward", "fundamentals", "outcomes", "projection"}
"""The folders whose tests are all marked ``topologies``."""

S = TypeVar("S")

# A machine that is busy makes no test fail.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

pytest_plugins = ["event_backbone.testing.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--all``, which runs the tests marked as long, too, and ``--uvloop``, which changes the event loop."""
    parser.addoption("--all", action="store_true", help="also run the tests marked as long")
    parser.addoption(
        "--uvloop", action="store_true", help="run asynchronous tests, and the workers that they start, on uvloop"
    )


class OnUvloop:
    """A plugin that gives every asynchronous test, and its fixtures, a loop of uvloop."""

    def pytest_asyncio_loop_factories(self) -> Mapping[str, LoopFactory]:
        """Return the only loop that tests run on."""
        factory = loop_factory()
        assert factory is not None
        return {UVLOOP: factory}


def pytest_configure(config: pytest.Config) -> None:
    """Give what the tests start the same environment, however the tests were started.

    The tools of this environment are on PATH, and Ctrl-C arrives, which a shell has its background processes ignore.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tools = str(Path(sys.executable).parent)
    if not os.environ["PATH"].startswith(tools):
        os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    if config.getoption("--uvloop"):
        os.environ[LOOP_VARIABLE] = UVLOOP
    if loop_factory():
        config.pluginmanager.register(OnUvloop())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless all are asked for; pytest counts them as deselected."""
    if config.getoption("--all"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each test that uses Redis on every server binary that was asked for, and if marked in every topology."""
    binaries = os.environ.get(BINARIES_VARIABLE)
    if binaries and "redis_binary" in metafunc.fixturenames:
        metafunc.parametrize("redis_binary", binaries.split(os.pathsep), indirect=True, scope="session")
    mark = metafunc.definition.get_closest_marker("topologies")
    marked = mark or metafunc.definition.path.parent.name in TOPOLOGIES_FOLDERS
    if marked and "redis_topology" in metafunc.fixturenames:
        marks = () if mark and mark.kwargs.get("always") else pytest.mark.long
        others = [pytest.param(each, marks=marks) for each in ("sentinel", "cluster")]
        metafunc.parametrize("redis_topology", ["single", *others], indirect=True, scope="session")


@pytest.fixture(scope="session")
def redis_binary(request: pytest.FixtureRequest) -> str | None:
    """The server binary under test; None means the one that the launcher finds."""
    return getattr(request, "param", None)


@pytest.fixture(scope="session")
def redis_server(redis_binary: str | None) -> Iterator[RedisServer]:
    """The session's Redis. Tests that stop, kill or configure a server take ``own_redis`` instead."""
    with _started(redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(redis_binary: str | None) -> Iterator[RedisCluster]:
    """The session's cluster. Tests that break it or move slots start their own."""
    with _or_fail(lambda: RedisCluster(binary=redis_binary)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinel(redis_binary: str | None) -> Iterator[RedisSentinel]:
    """The session's servers under Sentinel. Tests that break them start their own."""
    with _or_fail(lambda: RedisSentinel(binary=redis_binary)) as servers:
        yield servers


@pytest.fixture(scope="session")
def redis_topology(request: pytest.FixtureRequest) -> Topology:
    """What ``redis_url`` leads to."""
    return getattr(request, "param", "single")


@pytest.fixture
def redis_servers(request: pytest.FixtureRequest, redis_binary: str | None, redis_topology: Topology) -> EmbeddedRedis:
    """What is at ``redis_url``, empty; for tests that flush it."""
    del redis_binary  # it repeats the test
    fixtures: dict[Topology, str] = {"single": "redis_server", "sentinel": "redis_sentinel", "cluster": "redis_cluster"}
    servers = cast("EmbeddedRedis", request.getfixturevalue(fixtures[redis_topology]))
    servers.flush()
    return servers


@pytest.fixture
def redis_url(redis_servers: EmbeddedRedis) -> str:
    """The URL of an empty Redis. A file that breaks its server returns the URL of ``own_redis`` instead."""
    return redis_servers.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A plain client of the server at ``redis_url``."""
    async with plain_client(redis_url) as client:
        yield client


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[RedisConnection]:
    """The runtime's own connection to the server at ``redis_url``."""
    connection = RedisConnection(RedisSettings.parse(redis_url))
    yield connection
    await connection.close()


@pytest.fixture
def streams(connection: RedisConnection) -> RedisStreams:
    """The streams of the server at ``redis_url``, as another process would use them."""
    return RedisStreams(connection)


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone on the server at ``redis_url``."""
    async with Backbone(redis_url, environment="test") as opened:
        yield opened


@pytest.fixture
def counted() -> CountedMetrics:
    """What the metrics count from now on."""
    return CountedMetrics()


@pytest.fixture
def own_redis(redis_binary: str | None, tmp_path: Path) -> Iterator[RedisServer]:
    """A separate Redis for one test, which keeps all it has acknowledged: kill, restart and configure it at will."""
    with _started(redis_binary, directory=tmp_path) as server:
        yield server


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> str:
    """The name of an empty bucket, the only one there is."""
    s3_server.reset()
    s3_server.create_bucket("events")
    return "events"


@pytest.fixture
def s3_environment(s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The S3_EVENT_SOURCE_* variables of the empty bucket, also set in this process."""
    variables = s3_server.environment(s3_bucket)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture(scope="session", autouse=True)
def _types_checked_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give mypy one cache for all rendered projects: packages and runtime, most of its work, are the same in each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _data_of_botocore_read_once() -> Iterator[None]:
    """Let all sessions of boto3 share what they read of its data: most of the time that a new S3 storage takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", cache(create_loader), raising=False)
        yield


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings and credentials of the person who runs the tests away from them."""
    for name in os.environ:
        if name.startswith(("AWS_", "EVENT_SOURCE_", "OTEL_", "REDIS_EVENT_SOURCE_", "S3_EVENT_SOURCE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def _no_spans_from_before() -> Iterator[None]:
    """Let no test be traced because an earlier one of this process was."""
    yield
    stop_tracing()


def _started(binary: str | None, directory: Path | None = None) -> RedisServer:
    return _or_fail(lambda: RedisServer(binary=binary, append_only=directory is not None, directory=directory))


def _or_fail(start: Callable[[], S]) -> S:
    try:
        return start()
    except ConfigurationError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture(scope="module")
def seaweed() -> Iterator[SeaweedServer]:
    """A real object store that checks credentials."""
    with SeaweedServer() as server:
        server.create_bucket("events")
        yield server
