"""What a Redis server does to its clients, and how they survive it."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.connection import RedisConnection
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    GroupMissing,
    StreamUnavailable,
)
from event_backbone.model import HashWrite
from event_backbone.settings import RedisSettings
from event_backbone.stream import GroupReader
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.admin import RedisGroupAdmin
from event_backbone.testing.servers import RedisServer
from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, keys_of, lease_of, new_entry
from tests.faults.proxy import proxy_before

SECOND = timedelta(seconds=1)
SECRET = "s3cr3t-Pa55"


@pytest.fixture
def redis_url(own_redis: RedisServer) -> str:
    """The URL of a server that the test may break."""
    return own_redis.url


async def waiting_reader(streams: RedisStreams) -> tuple[GroupReader, asyncio.Task[object]]:
    """Return a reader, and its read, which waits in the server."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await reader.read(1, NO_WAIT)

    async def read() -> object:
        return await reader.read(1, SECOND)

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.05)  # if too short, the read meets what follows a moment later: the same outcome
    return reader, reading


async def test_a_payload_key_with_other_data_takes_the_entry_back(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """An entry never exists without its hashes; its neighbours are appended."""
    await connection.command("SET", NAME.key_of("payload:taken"), "other data")
    taken = new_entry("m", HashWrite("payload:taken", {"a": b"1"}))
    answers = await streams.stream(NAME).append([new_entry("a"), taken, new_entry("b")])
    entries = await streams.stream(NAME).range(None, None, 10)
    assert [entry.key for entry in entries] == [answers[0], answers[2]]
    assert isinstance(answers[1], BackboneError)


@pytest.mark.parametrize("loss", [("FLUSHALL",), ("DEL", NAME.key), ("XGROUP", "DESTROY", NAME.key, GROUP)])
async def test_a_group_that_is_lost_under_a_read_is_made_again(
    streams: RedisStreams, connection: RedisConnection, loss: tuple[str, ...]
) -> None:
    """The waiting read raises at once; from the beginning the group misses nothing of what comes after."""
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
    assert len((await reader.compare(())).deliveries) == 9
    assert list(await reader.read(10, NO_WAIT)) == []


async def test_idle_connections_to_a_server_that_was_restarted_are_replaced(
    own_redis: RedisServer, streams: RedisStreams
) -> None:
    """No caller notices connections that died while unused."""
    await asyncio.gather(*(streams.stream(NAME).last_key() for _ in range(10)))
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    own_redis.restart()
    await asyncio.gather(*(streams.stream(NAME).last_key() for _ in range(10)))


async def test_forgotten_scripts_are_sent_again(streams: RedisStreams, connection: RedisConnection) -> None:
    """After SCRIPT FLUSH, as after any restart, the next call sends the script."""
    await streams.stream(NAME).append([new_entry()])
    await connection.command("SCRIPT", "FLUSH")
    keys_of(await streams.stream(NAME).append([new_entry()]))
    assert len(await streams.stream(NAME).range(None, None, 10)) == 2


async def test_a_server_that_became_a_replica_is_waited_for(streams: RedisStreams, connection: RedisConnection) -> None:
    """A waiting read and every write report an outage, not a missing group; nothing is written."""
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
    """No payload without its entry; looks, acks and parking go on; a dead letter that is refused acks nothing."""
    await streams.stream(NAME).append([new_entry(), new_entry(), new_entry()])
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await connection.command("CONFIG", "SET", "maxmemory", "1")
    [answer] = await streams.stream(NAME).append([new_entry("m", HashWrite("payload:1", {"a": b"1"}))])
    assert isinstance(answer, StreamUnavailable)
    assert "OOM" in str(answer)
    assert await connection.command("EXISTS", NAME.key_of("payload:1")) == 0
    first, second, third = await reader.read(10, NO_WAIT)
    assert not (await reader.look(SECOND, 10)).deliveries
    assert await leases.ack([lease_of(first)]) == frozenset()
    assert await leases.park(lease_of(third), NO_WAIT) == "parked"
    [again] = (await reader.look(SECOND, 10)).deliveries
    assert await leases.release([lease_of(again)]) == frozenset()
    with pytest.raises(StreamUnavailable, match="OOM"):
        await leases.dead_letter(lease_of(second), LETTER)
    pending = await streams.group_admin(NAME, GROUP).pending(None, 10)
    assert [(each.key, each.consumer) for each in pending] == [(second.entry.key, "one"), (third.entry.key, None)]
    await connection.command("CONFIG", "SET", "maxmemory", "0")
    assert await leases.dead_letter(lease_of(second), LETTER) == frozenset()


async def test_a_full_server_refuses_a_redrive_from_the_archive(
    streams: RedisStreams, connection: RedisConnection
) -> None:
    """Nothing is changed, and once there is memory the event is delivered; without the group that is said."""
    await streams.stream(NAME).append([new_entry()])
    reader, leases = streams.group_reader(NAME, GROUP, "one"), streams.group_leases(NAME, GROUP, "one")
    await reader.ensure("beginning")
    [delivery] = await reader.read(1, NO_WAIT)
    await leases.dead_letter(lease_of(delivery), LETTER)
    await connection.command("XTRIM", NAME.key, "MAXLEN", 0)
    admin, metadata = RedisGroupAdmin(connection, NAME, GROUP), {delivery.entry.key: b"{}"}
    letters = await admin.dead_letters(None, 10)
    await connection.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StreamUnavailable, match="OOM"):
        await admin.redrive_archived(letters, metadata)
    assert [*await admin.dead_letters(None, 10)] == [*letters]
    assert list(await reader.read(1, NO_WAIT)) == []
    await connection.command("CONFIG", "SET", "maxmemory", "0")
    assert list(await admin.redrive_archived(letters, metadata)) == ["redriven"]
    assert len(await reader.read(10, NO_WAIT)) == 1
    with pytest.raises(GroupMissing, match="another"):
        await RedisGroupAdmin(connection, NAME, "another").redrive_archived(letters, metadata)


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
    own_redis: RedisServer, answer: str, kind: type[BackboneError]
) -> None:
    """Recognised by the leading word alone; the server's text is not repeated, and the read works again afterwards."""
    async with proxy_before(own_redis.port) as proxy:
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


async def _read(reader: GroupReader) -> object:
    return await reader.read(1, SECOND)
