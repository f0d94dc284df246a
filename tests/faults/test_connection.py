"""What a Redis server does to its clients: wrong settings are told in one sentence, everything else is survived."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from event_backbone.connection import RedisConnection, Script, redis_errors
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    GroupMissing,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.metadata import HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream import GroupReader
from event_backbone.stream.redis import RedisStreams
from event_backbone.testing.servers import RedisServer

from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, keys_of, lease_of, new_entry
from tests.faults.proxy import proxy_before

SECOND = timedelta(seconds=1)
SECRET = "s3cr3t-Pa55"


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


async def waiting_reader(streams: RedisStreams) -> tuple[GroupReader, asyncio.Task[object]]:
    """Return a reader, and its read, which waits in the server."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await reader.read(1, NO_WAIT)

    async def read() -> object:
        return await reader.read(1, SECOND)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.05)  # too short, and the read would meet what follows a moment later: the same outcome
    return reader, reading


async def test_an_unreachable_server_is_one_sentence() -> None:
    """It names the address, the reason and what to do."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse("127.0.0.1:1")))
    with pytest.raises(StreamUnavailable) as caught:
        await streams.check()
    assert str(caught.value) == (
        "Redis at 127.0.0.1:1 does not answer (connection refused); start it or set REDIS_EVENT_SOURCE_ENDPOINT."
    )
    assert caught.value.__cause__ is not None
    await streams.close()


async def test_an_unknown_host_is_one_sentence() -> None:
    """A name that nobody knows is told from a server that is down."""
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
    """The text names the variable to set; neither it nor its whole traceback holds the password."""
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
    """Rights are not gained by waiting. A user who may not ask for INFO still passes the check."""
    await connection.command("ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-xrange", "-info")
    streams = RedisStreams(RedisConnection(RedisSettings.parse(own_redis.url.replace("//", "//bob:pw@"))))
    await streams.check()
    with pytest.raises(ConfigurationError, match="denies this user a command or a key"):
        await streams.stream(NAME).range(None, None, 1)
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
    """Whoever uses the same key for something else must use another."""
    await connection.command("SET", NAME.key, "other data")
    with pytest.raises(ConfigurationError, match="choose another URI or environment"):
        await streams.group_reader(NAME, GROUP, "one").ensure("beginning")
    [answer] = await streams.stream(NAME).append([new_entry()])
    assert "choose another URI or environment" in str(answer)


async def test_a_payload_key_with_other_data_takes_the_entry_back(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """An entry never stands without its hashes; its neighbours are appended."""
    await connection.command("SET", NAME.key_of("payload:taken"), "other data")
    taken = new_entry("m", HashWrite("payload:taken", {"a": b"1"}))
    answers = await streams.stream(NAME).append([new_entry("a"), taken, new_entry("b")])
    entries = await streams.stream(NAME).range(None, None, 10)
    assert [entry.key for entry in entries] == [answers[0], answers[2]]
    assert isinstance(answers[1], BackboneError)


async def test_an_evicting_server_is_refused(streams: RedisStreams, connection: RedisConnection) -> None:
    """A policy that may evict a stream with all its groups is told by the check."""
    await streams.check()
    await connection.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="allkeys-lru"):
        await streams.check()


@pytest.mark.parametrize("loss", [("FLUSHALL",), ("DEL", NAME.key), ("XGROUP", "DESTROY", NAME.key, GROUP)])
async def test_a_group_that_is_lost_under_a_read_is_made_anew(
    streams: RedisStreams, connection: RedisConnection, loss: tuple[str, ...]
) -> None:
    """The waiting read tells it at once; from the beginning the group misses nothing of what comes after."""
    reader, reading = await waiting_reader(streams)
    await connection.command(*loss)
    with pytest.raises(GroupMissing):
        await reading
    await streams.stream(NAME).append([new_entry()])
    assert await reader.ensure("beginning") is True
    assert len(await reader.read(10, NO_WAIT)) == 1


async def test_a_killed_server_is_survived(own_redis: RedisServer, streams: RedisStreams) -> None:
    """A read, and every call while it is down, ends in StreamUnavailable; afterwards entries and leases are there."""
    entry = new_entry()
    [key] = keys_of(await streams.stream(NAME).append([entry, *(new_entry() for _ in range(9))]))[:1]
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    [delivery] = await reader.read(1, NO_WAIT)
    await reader.read(9, NO_WAIT)
    reading = asyncio.create_task(_read(reader))
    own_redis.kill()
    with pytest.raises(StreamUnavailable):
        await reading
    with pytest.raises(StreamUnavailable):
        await streams.stream(NAME).append([entry])
    own_redis.start()
    assert keys_of(await streams.stream(NAME).append([entry])) == [key]
    assert await leases.ack([lease_of(delivery)]) == frozenset()
    assert len(await reader.recover(())) == 9
    assert list(await reader.read(10, NO_WAIT)) == []


async def test_idle_connections_to_a_server_that_was_restarted_are_replaced(
    own_redis: RedisServer, streams: RedisStreams
) -> None:
    """Nobody is told of connections that had died unused."""
    await asyncio.gather(*(streams.stream(NAME).last_key() for _ in range(10)))
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    own_redis.restart()
    await asyncio.gather(*(streams.stream(NAME).last_key() for _ in range(10)))


async def test_forgotten_scripts_are_given_again(streams: RedisStreams, connection: RedisConnection) -> None:
    """After SCRIPT FLUSH, as after any restart, the next call brings the script along."""
    await streams.stream(NAME).append([new_entry()])
    await connection.command("SCRIPT", "FLUSH")
    keys_of(await streams.stream(NAME).append([new_entry()]))
    assert len(await streams.stream(NAME).range(None, None, 10)) == 2


async def test_a_server_that_became_a_replica_is_waited_for(streams: RedisStreams, connection: RedisConnection) -> None:
    """A waiting read and every write tell it as an outage, not as a missing group; nothing was written."""
    entry = new_entry("m", HashWrite("payload:1", {"a": b"1"}))
    reader, reading = await waiting_reader(streams)
    await connection.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StreamUnavailable):
        await reading
    with pytest.raises(StreamUnavailable):
        await reader.read(1, NO_WAIT)
    [answer] = await streams.stream(NAME).append([entry])
    assert isinstance(answer, StreamUnavailable)
    await connection.command("REPLICAOF", "NO", "ONE")
    assert await connection.command("EXISTS", NAME.key_of("payload:1")) == 0
    keys_of(await streams.stream(NAME).append([entry]))
    assert len(await reader.read(10, NO_WAIT)) == 1


async def test_a_full_server_refuses_appends_and_lets_consumers_drain(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """No payload without its entry, acks go on, and a dead letter that cannot be written acks nothing."""
    await streams.stream(NAME).append([new_entry(), new_entry()])
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await connection.command("CONFIG", "SET", "maxmemory", "1")
    [answer] = await streams.stream(NAME).append([new_entry("m", HashWrite("payload:1", {"a": b"1"}))])
    assert isinstance(answer, StreamUnavailable)
    assert "OOM" in str(answer)
    assert await connection.command("EXISTS", NAME.key_of("payload:1")) == 0
    first, second = await reader.read(10, NO_WAIT)
    assert await leases.renew([lease_of(first), lease_of(second)]) == frozenset()
    assert await leases.ack([lease_of(first)]) == frozenset()
    with pytest.raises(StreamUnavailable, match="OOM"):
        await leases.dead_letter(lease_of(second), LETTER)
    [pending] = await streams.group_admin(NAME, GROUP).pending(None, 10)
    assert pending.key == second.entry.key
    await connection.command("CONFIG", "SET", "maxmemory", "0")
    assert await leases.dead_letter(lease_of(second), LETTER) == frozenset()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", StreamUnavailable),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", StreamUnavailable),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", StreamUnavailable),
        ("CLUSTERDOWN Hash slot not served", StreamUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", StreamUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots, but it is unable to persist", StreamUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", StreamUnavailable),
        ("ERR max number of clients reached", StreamUnavailable),
        ("SOMETHING nobody has heard of yet", StreamUnavailable),
        (
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            StreamUnavailable,
        ),
        ("UNBLOCKED the stream key no longer exists", GroupMissing),
        ("NOGROUP No such key 'x' or consumer group 'y' in XREADGROUP with GROUP option", GroupMissing),
        ("NOPERM this user has no permissions to run the 'xreadgroup' command", ConfigurationError),
        ("NOAUTH Authentication required.", ConfigurationError),
    ],
)
async def test_whatever_a_server_answers_has_its_error(
    redis_server: RedisServer, redis_url: str, answer: str, kind: type[BackboneError]
) -> None:
    """By the leading word alone; the server's text is not repeated, and the read works again afterwards."""
    assert redis_url
    async with proxy_before(redis_server.port) as proxy:
        streams = RedisStreams(RedisConnection(RedisSettings.parse(proxy.url)))
        reader = streams.group_reader(NAME, GROUP, "one")
        await reader.ensure("beginning")
        proxy.answer(b"XREADGROUP", answer)
        with pytest.raises(kind) as caught:
            await reader.read(1, NO_WAIT)
        assert answer.split(" ", 1)[1] not in str(caught.value)
        proxy.heal()
        assert list(await reader.read(1, NO_WAIT)) == []
        await streams.close()


async def test_a_storage_has_its_own_word_for_an_outage() -> None:
    """The same table serves who keeps payloads in Redis."""
    connection = RedisConnection(RedisSettings.parse("127.0.0.1:1"))
    with pytest.raises(StorageUnavailable, match="127.0.0.1:1"), connection.errors(StorageUnavailable):
        await connection.client.get("key")
    with pytest.raises(StorageUnavailable), redis_errors(StorageUnavailable):
        await connection.command("GET", "key")
    await connection.close()


async def test_256_callers_at_once_are_served(streams: RedisStreams, connection: RedisConnection) -> None:
    """They wait for each other's connections, and none fails for want of one."""
    stream = streams.stream(NAME)
    await asyncio.gather(*(stream.append([new_entry()]) for _ in range(256)))
    assert len(await stream.range(None, None, 1000)) == 256
    await asyncio.gather(*(connection.client.get("key") for _ in range(256)))


async def test_closing_leaves_no_connection(own_redis: RedisServer) -> None:
    """Also those of readers that were only dropped; closing twice is no error, and a later call connects again."""
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


async def _read(reader: GroupReader) -> object:
    return await reader.read(1, SECOND)
