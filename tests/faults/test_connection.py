"""Connections to Redis: wrong settings are reported in one sentence without a secret, and no call waits forever."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

import pytest
import uvloop
from redis.exceptions import DataError

from event_backbone.connection import RedisConnection, Script, redis_errors
from event_backbone.errors import (
    ConfigurationError,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.group_reader import RedisGroupReader
from event_backbone.testing.servers import RedisServer
from tests.conformance.stream_suite import GROUP, NAME, NO_WAIT, new_entry
from tests.faults.proxy import proxy_before

SECOND = timedelta(seconds=1)
SECRET = "s3cr3t-Pa55"
ECHO = Script("return ARGV[1]")

Call = Callable[[RedisConnection, RedisGroupReader], Awaitable[object]]
CALLS: Mapping[str, Call] = {
    "command": lambda connection, _: connection.command("PING"),
    "command once": lambda connection, _: connection.command("PING", repeat=False),
    "script": lambda connection, _: connection.run(ECHO, ("key",), ("x",), repeat=False),
    "pipelined": lambda connection, _: connection.run_pipelined(ECHO, ("key",), ("x",)),
    "pipelined reads": lambda connection, _: connection.read_each("GET", ["key"]),
    "blocking read": lambda _, reader: reader.read(1, NO_WAIT),
}


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    """The URL of a server that the test may break."""
    return own_redis.url


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "redis+cluster://127.0.0.1:1"])
async def test_an_unreachable_server_is_one_sentence(endpoint: str) -> None:
    """It names the address, the reason and what to do; also if no node of a cluster tells who has which slot."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(endpoint)))
    with pytest.raises(StreamUnavailable) as caught:
        await streams.check()
    assert str(caught.value) == (
        "Redis at 127.0.0.1:1 does not answer (connection refused); start it or set REDIS_EVENT_SOURCE_ENDPOINT."
    )
    assert caught.value.__cause__ is not None
    await streams.close()


async def test_an_unknown_host_is_one_sentence() -> None:
    """An unknown name is not taken for a server that is down."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse("no-such-host.invalid:6379")))
    with pytest.raises(
        StreamUnavailable, match=r"no-such-host\.invalid:6379 does not answer \(its name is not known\)"
    ):
        await streams.check()
    await streams.close()


@pytest.mark.parametrize(
    ("required", "given", "sentence"),
    [
        (SECRET, None, "wants a password; set REDIS_EVENT_SOURCE_PASS"),
        (SECRET, "wrong-" + SECRET, "refuses the user or the password; set REDIS_EVENT_SOURCE_PASS"),
        (None, SECRET, "wants no password; unset REDIS_EVENT_SOURCE_PASS"),
    ],
)
async def test_wrong_credentials_are_a_configuration_error(
    own_redis: RedisServer, required: str | None, given: str | None, sentence: str
) -> None:
    """The text names the variable to set; neither it nor its whole traceback contains the password."""
    if required:
        admin = RedisConnection(RedisSettings.parse(own_redis.url))
        await admin.command("CONFIG", "SET", "requirepass", required)
        await admin.close()
    streams = RedisStreams(RedisConnection(RedisSettings.parse(own_redis.url, given)))
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        await streams.check()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    await streams.close()


async def test_the_right_password_opens(own_redis: RedisServer, connection: RedisConnection) -> None:
    """Beside host and port, in the URL, and with a user."""
    await connection.command("ACL", "SETUSER", "ann", "on", f">{SECRET}", "~*", "+@all")
    await connection.command("CONFIG", "SET", "requirepass", SECRET)
    address = own_redis.url.removeprefix("redis://")
    for settings in (
        RedisSettings.parse(address, SECRET),
        RedisSettings.parse(f"redis://:{SECRET}@{address}/0"),
        RedisSettings.parse(f"redis://ann:{SECRET}@{address}"),
        RedisSettings.parse(own_redis.socket_url, SECRET),
    ):
        streams = RedisStreams(RedisConnection(settings))
        await streams.check()
        await streams.close()


async def test_a_denied_command_is_a_configuration_error(connection: RedisConnection, own_redis: RedisServer) -> None:
    """Waiting does not grant rights, in a script neither. A user without the right to INFO still passes the check."""
    await connection.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-xrange", "-xinfo", "-info")
    streams = RedisStreams(RedisConnection(RedisSettings.parse(own_redis.url.replace("//", "//bob:pw@"))))
    await streams.check()
    with pytest.raises(ConfigurationError, match="denies this user a command or a key"):
        await streams.stream(NAME).range(None, None, 1)
    with pytest.raises(ConfigurationError, match="denies this user a command or a key"):
        await streams.stream(NAME).groups()
    await streams.close()


async def test_a_database_that_is_not_there_is_a_configuration_error(own_redis: RedisServer) -> None:
    """The text says which setting to change."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(own_redis.url + "/99")))
    with pytest.raises(ConfigurationError, match="no database of this number"):
        await streams.check()
    await streams.close()


async def test_a_key_with_other_data_is_a_configuration_error(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """The other user of the key must use another one."""
    await connection.command("SET", NAME.key, "other data")
    with pytest.raises(ConfigurationError, match="choose another URI or environment"):
        await streams.group_reader(NAME, GROUP, "one").ensure("beginning")
    [answer] = await streams.stream(NAME).append([new_entry()])
    assert "choose another URI or environment" in str(answer)


async def test_a_storage_has_its_own_error_for_an_outage() -> None:
    """The same table serves storages that keep payloads in Redis."""
    connection = RedisConnection(RedisSettings.parse("127.0.0.1:1"))
    with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:1"), connection.errors(StorageUnavailable):
        await connection.command("GET", "key", repeat=False)
    with pytest.raises(StorageUnavailable), redis_errors(StorageUnavailable):
        await connection.command("GET", "key")
    await connection.close()


async def test_256_callers_at_once_are_served(streams: RedisStreams, connection: RedisConnection) -> None:
    """They wait for each other's connections, and none fails for lack of one."""
    stream = streams.stream(NAME)
    await asyncio.gather(*(stream.append([new_entry()]) for _ in range(256)))
    assert len(await stream.range(None, None, 1000)) == 256
    await asyncio.gather(*(connection.command("GET", "key") for _ in range(256)))


async def test_each_of_many_reads_gets_its_own_reply(connection: RedisConnection) -> None:
    """In order, however their bytes arrive: replies longer than what is parsed at once, short ones, and none."""
    values = [b"x" * length for length in (0, 100_000, 1, 8_180, 8_192, 20_000, *range(200))]
    keys = [f"{{read}}:{number}" for number in range(len(values))]
    for key, value in zip(keys, values, strict=True):
        await connection.command("SET", key, value)
    assert await connection.read_each("GET", [*keys, "{read}:none"]) == [*values, None]


async def test_closing_leaves_no_connection(own_redis: RedisServer) -> None:
    """Also those of readers that were only dropped; closing twice is not an error, and a later call connects again."""
    connection = RedisConnection(RedisSettings.parse(own_redis.url))
    streams = RedisStreams(connection)
    for number in range(5):
        reader = streams.group_reader(NAME, GROUP, f"consumer-{number}")
        await reader.ensure("beginning")
        await reader.read(1, NO_WAIT)
    await streams.close()
    await streams.close()
    observer = RedisConnection(RedisSettings.parse(own_redis.url))
    deadline = asyncio.get_running_loop().time() + 5
    while (
        (clients := await observer.command("CLIENT", "LIST"))
        and isinstance(clients, bytes)
        and clients.count(b"\n") > 1
    ):
        assert asyncio.get_running_loop().time() < deadline, clients
    await observer.close()
    await streams.check()
    await streams.close()


async def test_replies_are_those_of_one_protocol_version(connection: RedisConnection) -> None:
    """Nested lists, nil and bytes, whatever redis-py makes of other versions."""
    await connection.command("XADD", "shape", "1-1", "field", "value")
    assert await connection.command("XRANGE", "shape", "-", "+") == [[b"1-1", [b"field", b"value"]]]
    assert await connection.command("XREAD", "STREAMS", "shape", "0") == [[b"shape", [[b"1-1", [b"field", b"value"]]]]]
    assert await connection.command("XREAD", "STREAMS", "shape", "1-1") is None
    assert await connection.run(Script("return {1, false, 'text', {'nested'}}"), (), ()) == [
        1,
        None,
        b"text",
        [b"nested"],
    ]


async def test_a_deadline_shorter_than_a_wait_is_refused() -> None:
    """A healthy blocking read must never reach the deadline of its socket."""
    with pytest.raises(ConfigurationError, match="longer than"):
        RedisConnection(RedisSettings.parse("127.0.0.1:1"), answer_within=SECOND)


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_writing_to_a_connection_that_was_reset_is_an_outage(
    own_redis: RedisServer,
    call: Call,
    new_event_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Never the RuntimeError, AttributeError or TypeError of the transport; the next call has a new connection."""

    async def reset_and_call() -> None:
        async with proxy_before(own_redis.port) as proxy:
            connection = RedisConnection(RedisSettings.parse(proxy.url))
            async with AsyncExitStack() as stack:
                stack.push_async_callback(connection.close)
                reader = RedisStreams(connection).group_reader(NAME, GROUP, "one")
                await reader.ensure("beginning")
                await call(connection, reader)
                for turns in range(20):
                    proxy.reset()
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    with suppress(StreamUnavailable), connection.errors():
                        await call(connection, reader)
                    await call(connection, reader)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(reset_and_call())


async def test_an_argument_that_cannot_be_sent_is_not_an_outage(connection: RedisConnection) -> None:
    """It is a mistake in the program, which waiting does not repair: it is not translated."""
    with pytest.raises(DataError), connection.errors():
        await connection.command("SET", "key", [])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    blocking = connection.blocking_connection(NAME.key)
    await blocking.open()
    with pytest.raises(TypeError), connection.errors():
        await blocking.command("SET", "key", [])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError), connection.errors():
        await connection.run_pipelined(ECHO, ("key",), ([],))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
