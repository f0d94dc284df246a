"""Embedded Sentinels: they watch when they say so, and make a replica the primary when it dies or when asked."""

import os
import signal
from pathlib import Path

import pytest

from event_backbone.errors import ConfigurationError
from event_backbone.testing import RedisSentinel


@pytest.fixture
def servers(redis_sentinel: RedisSentinel) -> RedisSentinel:
    """The session's servers, healthy and empty."""
    redis_sentinel.wait_ready()
    redis_sentinel.flush()
    return redis_sentinel


def test_clients_find_the_primary_as_soon_as_it_is_made(servers: RedisSentinel) -> None:
    """The endpoint names all Sentinels and the service; its replicas have what the primary has."""
    addresses, _, service = servers.url.removeprefix("redis+sentinel://").partition("/")
    assert addresses.split(",") == [f"127.0.0.1:{each.port}" for each in servers.sentinels]
    for sentinel in servers.sentinels:
        address = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", service)
        assert address == [b"127.0.0.1", str(servers.primary.port).encode()]
    servers.primary.command("SET", "key", "kept")
    assert servers.primary.command("WAIT", 1, 5000) == 1
    assert servers.replicas[0].command("GET", "key") == b"kept"
    servers.flush()
    assert servers.primary.command("DBSIZE") == 0


def test_a_replica_takes_over_when_asked(servers: RedisSentinel) -> None:
    """All Sentinels know it when the call returns; the old primary becomes a replica."""
    old = servers.primary
    assert servers.failover() is not old
    servers.wait_ready()  # on a busy machine the Sentinels may have changed their mind by now
    assert {servers.primary, *servers.replicas} == set(servers.servers)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_replica_takes_over_from_a_primary_that_is_gone(servers: RedisSentinel, how: signal.Signals) -> None:
    """Dead or suspended: what was replicated is there, and the old one returns as a replica."""
    old = servers.primary
    old.command("SET", "key", "kept")
    assert old.command("WAIT", 1, 5000) == 1
    if how == signal.SIGKILL:
        old.kill()
    else:
        os.kill(old.pid, how)
    try:
        servers.wait_ready()
        assert servers.primary is not old
        assert servers.primary.command("GET", "key") == b"kept"
    finally:
        if how == signal.SIGKILL:
            old.start()
        else:
            os.kill(old.pid, signal.SIGCONT)
    servers.wait_ready()
    assert servers.replicas == (old,)


def test_a_killed_sentinel_comes_back_with_what_it_knew(servers: RedisSentinel) -> None:
    """On its port, and it watches at once."""
    sentinel, port = servers.sentinels[0], servers.sentinels[0].port
    sentinel.kill()
    servers.wait_ready()
    sentinel.start()
    servers.wait_ready()
    assert sentinel.port == port


def test_what_does_not_start_is_one_sentence_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A number that cannot work, and a binary without Sentinel: all servers end."""
    with pytest.raises(ConfigurationError, match="at least one replica"):
        RedisSentinel(replicas=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"^The Redis server does not start: "):
        RedisSentinel(arguments=("--no-such-option", "1"))
    assert not list(tmp_path.iterdir())
