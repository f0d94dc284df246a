"""Promise 10: a server that would evict events is refused or warned about, whenever a connection to it is opened."""

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.errors import (
    ConfigurationError,
    StreamUnavailable,
)
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import RedisServer
from tests.conformance.stream_suite import GROUP, NAME, NO_WAIT, new_entry


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    """A server that the test may configure."""
    return own_redis.url


@pytest.fixture
def streams(connection: RedisConnection) -> RedisStreams:
    """The streams of that server."""
    return RedisStreams(connection)


async def evict(connection: RedisConnection, policy: str, limit: str = "100mb") -> None:
    """Let the server evict by this policy."""
    await connection.command("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", limit)


async def test_promise_10_an_evicting_server_is_refused(streams: RedisStreams, connection: RedisConnection) -> None:
    """The check refuses a policy that may evict a stream with all its groups, if memory is limited."""
    await evict(connection, "allkeys-lru", "0")
    await streams.check()
    await evict(connection, "allkeys-lru")
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await streams.check()


async def test_promise_10_an_evicting_server_is_refused_when_events_are_produced(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """Nothing is appended, on the first connection and after each reconnection."""
    await evict(connection, "allkeys-lru")
    stream = streams.stream(NAME)
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await stream.append([new_entry()])
    assert await stream.range(None, None, 10) == []
    await evict(connection, "noeviction")
    await stream.append([new_entry()])
    await evict(connection, "allkeys-random")
    await connection.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(ConfigurationError, match="allkeys-random"):
        await stream.append([new_entry()])
    assert len(await stream.range(None, None, 10)) == 1


async def test_promise_10_an_evicting_server_is_refused_when_events_are_consumed(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """On the first read and after each reconnection: an error that ends the subscription, not an outage."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await evict(connection, "allkeys-lru")
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await reader.read(1, NO_WAIT)
    await evict(connection, "noeviction")
    await reader.read(1, NO_WAIT)
    await evict(connection, "allkeys-lru")
    await connection.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(StreamUnavailable):
        await reader.read(1, NO_WAIT)
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await reader.read(1, NO_WAIT)


async def test_promise_10_a_user_who_may_not_ask_is_not_refused(
    own_redis: RedisServer, connection: RedisConnection
) -> None:
    """Managed servers and narrow rights may hide the policy."""
    await evict(connection, "allkeys-lru")
    await connection.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-info")
    streams = RedisStreams(RedisConnection(RedisSettings.parse(own_redis.url.replace("//", "//bob:pw@"))))
    await streams.stream(NAME).append([new_entry()])
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    assert len(await reader.read(1, NO_WAIT)) == 1
    await streams.close()


async def test_promise_10_what_may_lose_some_events_is_warned_of_once(
    redis_binary: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Not once per connection: a server without an append-only file, and one that evicts what expires."""
    arguments = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
    with RedisServer(binary=redis_binary, arguments=arguments) as server:
        connection = RedisConnection(RedisSettings.parse(server.url))
        streams = RedisStreams(connection)
        for _ in range(2):
            await streams.stream(NAME).append([new_entry()])
            reader = streams.group_reader(NAME, GROUP, "one")
            await reader.ensure("beginning")
            await reader.read(1, NO_WAIT)
            await connection.forget_connections()
            await streams.check()
        await streams.close()
    assert [record.getMessage().partition(" ")[2].partition(" ")[2].partition(" ")[2] for record in caplog.records] == [
        "may delete payloads before they expire (maxmemory-policy volatile-lru); set it to noeviction.",
        "has no append-only file: a restart may lose events; set appendonly to yes.",
    ]
