"""The embedded Redis Cluster: it serves when it says so, and can be broken and mended in the ways of a real one."""

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from event_backbone.errors import ConfigurationError
from event_backbone.testing import ClusterNode, RedisCluster, cluster_node
from event_backbone.testing.cluster_node import slot_of
from event_backbone.testing.free_port import free_port

STREAM = "test:shipments"
KEYS = tuple(f"{{{STREAM}}}:{number}" for number in range(250))


@pytest.fixture
def cluster(redis_cluster: RedisCluster) -> RedisCluster:
    """The session's cluster, healthy and empty."""
    redis_cluster.wait_ready()
    redis_cluster.flush()
    return redis_cluster


def _fill(node: ClusterNode) -> None:
    for key in KEYS:
        node.command("SET", key, "kept")


def _keys_in(node: ClusterNode) -> int:
    count = node.command("CLUSTER", "COUNTKEYSINSLOT", slot_of(STREAM))
    assert isinstance(count, int)
    return count


def test_every_slot_is_served_as_soon_as_the_cluster_is_made(cluster: RedisCluster) -> None:
    """What a client writes is spread over the three primaries; flush removes it from all."""
    client = redis.RedisCluster(host="127.0.0.1", port=int(cluster.url.rpartition(":")[2]))
    for number in range(100):
        client.set(f"key:{number}", number)
    client.close()
    assert len(cluster.nodes) == 6
    assert all(node.command("DBSIZE") for node in cluster.nodes if node.is_primary())
    cluster.flush()
    assert not any(node.command("DBSIZE") for node in cluster.nodes if node.is_primary())


@pytest.mark.parametrize("key", ["", "plain", "{test:shipments}:members", "{}empty", "a{b}{c}", "{open", "é{ü}"])
def test_the_slot_of_a_key_is_that_of_the_server(key: str, cluster: RedisCluster) -> None:
    """Also with braces that enclose nothing, or are not closed."""
    assert slot_of(key) == cluster.nodes[0].command("CLUSTER", "KEYSLOT", key)


def test_a_replica_takes_over_from_a_dead_primary_and_gracefully_gives_back(cluster: RedisCluster) -> None:
    """What was replicated is there; the dead one returns as a replica, and a failover loses nothing."""
    primary, (replica,) = cluster.primary_of(STREAM), cluster.replicas_of(STREAM)
    _fill(primary)
    assert primary.command("WAIT", 1, 5000) == 1
    primary.kill()
    cluster.wait_ready()
    assert cluster.primary_of(STREAM) is replica
    assert _keys_in(replica) == len(KEYS)
    primary.start()
    cluster.wait_ready()
    assert cluster.replicas_of(STREAM) == (primary,)
    assert cluster.failover(STREAM) is primary
    assert _keys_in(primary) == len(KEYS)


def test_a_suspended_primary_is_replaced_too(cluster: RedisCluster) -> None:
    """Asking the cluster does not hang on a node that is suspended; continued, it learns that it is a replica."""
    primary, (replica,) = cluster.primary_of(STREAM), cluster.replicas_of(STREAM)
    os.kill(primary.pid, signal.SIGSTOP)
    try:
        cluster.wait_ready()
        assert cluster.primary_of(STREAM) is replica
    finally:
        os.kill(primary.pid, signal.SIGCONT)
    cluster.wait_ready()
    assert cluster.replicas_of(STREAM) == (primary,)


@pytest.mark.parametrize("atomic", [False, True], ids=["key by key", "at one moment"])
def test_a_slot_moves_to_another_node_and_back_with_its_keys(cluster: RedisCluster, atomic: bool) -> None:
    """In both ways; a server that has only one of them says so."""
    source = cluster.primary_of(STREAM)
    target = next(node for node in cluster.nodes if node.is_primary() and node is not source)
    _fill(source)
    try:
        cluster.move_slot(STREAM, to=target, atomic=atomic)
    except ConfigurationError as error:
        assert "MIGRATESLOTS" in str(error).upper()  # noqa: PT017 - older servers refuse this
        return
    assert (cluster.primary_of(STREAM), _keys_in(source), _keys_in(target)) == (target, 0, len(KEYS))
    cluster.move_slot(STREAM, to=source, atomic=atomic)
    assert (cluster.primary_of(STREAM), _keys_in(source), _keys_in(target)) == (source, len(KEYS), 0)


def test_a_move_stops_in_the_middle_until_it_is_finished(cluster: RedisCluster) -> None:
    """Meanwhile the source still serves the keys it has, and sends a client to the target for the others."""
    source = cluster.primary_of(STREAM)
    target = next(node for node in cluster.nodes if node.is_primary() and node is not source)
    _fill(source)
    move = cluster.begin_move(STREAM, to=target)
    assert move.move_keys(at_most=100) == 100
    assert (_keys_in(source), _keys_in(target)) == (len(KEYS) - 100, 100)
    client = redis.RedisCluster(host="127.0.0.1", port=source.port)
    assert [client.get(key) for key in KEYS] == [b"kept"] * len(KEYS)
    with pytest.raises(ConfigurationError, match=f"ASK {slot_of(STREAM)} 127.0.0.1:{target.port}"):
        source.command("GET", f"{{{STREAM}}}:new")
    move.finish()
    cluster.wait_ready()
    assert cluster.primary_of(STREAM) is target
    assert [client.get(key) for key in KEYS] == [b"kept"] * len(KEYS)
    client.close()


def test_a_node_is_added_and_removed(cluster: RedisCluster) -> None:
    """A new one has no slots until some are moved to it; after it is removed, nobody remembers it."""
    before = cluster.nodes
    added, source = cluster.add_node(), cluster.primary_of(STREAM)
    _fill(source)
    cluster.move_slot(STREAM, to=added)
    assert (_keys_in(added), added.command("DBSIZE")) == (len(KEYS), len(KEYS))
    assert str(added.port) in cluster.url
    cluster.move_slot(STREAM, to=source)
    cluster.remove_node(added)
    assert cluster.nodes == before
    assert all({each.id for each in node.view()} == {each.id for each in before} for node in before)


def test_clusters_started_together_find_their_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port of the cluster bus that another process has taken meanwhile is tried again with the next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(cluster_node, "free_port", lambda: next(ports, None) or free_port())
        with ThreadPoolExecutor(3) as pool:
            clusters = [each.result() for each in [pool.submit(RedisCluster, replicas=0) for _ in range(3)]]
    try:
        ports_of_all = [port for each in clusters for node in each.nodes for port in (node.port, node.bus_port)]
        assert len(set(ports_of_all)) == 18
        assert all(len(each.nodes[0].view()) == 3 for each in clusters)
    finally:
        for each in clusters:
            each.stop()


def test_a_cluster_that_does_not_start_is_one_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When one server fails, all end; so it is with a binary that has no cluster."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        last = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=r"^The cluster node does not start: .*\d"):
            RedisCluster(replicas=0, port=last - 2)
    assert not list(tmp_path.iterdir())
    binary = tmp_path / "old-server"
    binary.write_text("#!/bin/sh\necho 'Bad directive: cluster-enabled'; exit 1")
    binary.chmod(0o700)
    with pytest.raises(ConfigurationError, match=r"^The cluster node does not start: Bad directive: cluster-enabled$"):
        RedisCluster(binary=binary)
    assert list(tmp_path.iterdir()) == [binary]


def test_too_few_nodes_are_refused() -> None:
    """Two could not elect a new primary."""
    with pytest.raises(ConfigurationError, match="at least three"):
        RedisCluster(nodes=2)
