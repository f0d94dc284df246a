"""An endpoint that leads to something else: one sentence says what is there, and what would be right."""

from collections.abc import Iterator

import pytest

from event_backbone import Backbone
from event_backbone.errors import ConfigurationError, StreamUnavailable
from event_backbone.testing.cluster_node import ClusterNode
from event_backbone.testing.redis_sentinel import SERVICE, SentinelServer
from event_backbone.testing.servers import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server on which nothing else depends."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def sentinel() -> Iterator[SentinelServer]:
    """A Sentinel that monitors nobody yet."""
    with SentinelServer(port=None, binary=None) as sentinel:
        yield sentinel


async def complaint(endpoint: str) -> str:
    """Return what a backbone says of an endpoint; empty if nothing."""
    async with Backbone(endpoint, environment="") as backbone:
        try:
            await backbone.check()
        except (ConfigurationError, StreamUnavailable) as error:
            return str(error)
    return ""


async def test_a_node_of_a_cluster_that_has_no_slots_yet() -> None:
    """As a cluster it is not ready, which may change; as a single server it is refused."""
    with ClusterNode(port=None, binary=None, append_only=False, arguments=()) as node:
        address = f"127.0.0.1:{node.port}"
        assert "does not answer (no node of the cluster serves a slot)" in await complaint(f"redis+cluster://{address}")
        assert "is a node of a cluster; use redis+cluster://" in await complaint(f"redis://{address}")


async def test_a_server_that_is_neither_a_sentinel_nor_a_cluster(server: RedisServer) -> None:
    """The sentence says which form is right."""
    address = f"127.0.0.1:{server.port}"
    assert "is not a Sentinel" in await complaint(f"redis+sentinel://{address}/{SERVICE}")
    assert "is not a cluster; use redis://" in await complaint(f"redis+cluster://{address}")


async def test_sentinels_that_cannot_name_the_primary(server: RedisServer, sentinel: SentinelServer) -> None:
    """They monitor nothing, or something else, or deny the user to ask; one wrong address among theirs does no harm."""
    address = f"127.0.0.1:{sentinel.port}"
    assert "monitor nothing yet; let them monitor 'shop'" in await complaint(f"redis+sentinel://{address}/shop")
    assert "is a Sentinel; use redis+sentinel://" in await complaint(f"redis://{address}")
    sentinel.watch(server, 1)
    assert await complaint(f"redis+sentinel://127.0.0.1:{server.port},{address}/{SERVICE}") == ""
    assert f"monitor no service 'shop', only {SERVICE};" in await complaint(f"redis+sentinel://{address}/shop")
    sentinel.command("ACL", "SETUSER", "default", "-sentinel")
    assert "denies this user a command" in await complaint(f"redis+sentinel://{address}/{SERVICE}")


async def test_sentinels_that_do_not_answer() -> None:
    """The same sentence as for a server, which is an outage."""
    assert "127.0.0.1:1,127.0.0.1:2/shop does not answer (connection refused)" in await complaint(
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/shop"
    )
