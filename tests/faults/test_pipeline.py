"""The pipelined connection for the most frequent script: answers in order, and errors as on other connections."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import ConfigurationError, StreamUnavailable
from event_backbone.settings import RedisSettings
from tests.faults.proxy import Proxy
from tests.support.eventually import eventually

ECHO = Script("return {KEYS[1], ARGV[1]}")
COUNT = Script("return redis.call('INCR', KEYS[1])")
FAILS = Script("return redis.call('LPUSH', KEYS[1], ARGV[1])")
SHORT = timedelta(seconds=1.05)


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[RedisConnection]:
    """A connection through the proxy, whose calls time out after a little more than a second."""
    connection = RedisConnection(RedisSettings.parse(proxy.url), answer_within=SHORT)
    await connection.run(ECHO, ("key",), ("loads the script",))
    yield connection
    await connection.close()


async def _echo(connection: RedisConnection, text: str) -> object:
    with connection.errors():
        return await connection.run_pipelined(ECHO, ("key",), (text,))


async def test_each_call_gets_its_own_answer(connection: RedisConnection) -> None:
    """Many at once on one connection, large ones among them."""
    texts = [str(number) * (1 if number % 10 else 50_000) for number in range(100)]
    answers = await asyncio.gather(*(_echo(connection, text) for text in texts))
    assert answers == [[b"key", text.encode()] for text in texts]


async def test_all_calls_share_one_connection(redis_url: str) -> None:
    """However many calls wait, the server sees one pipelined client, and none after closing."""
    connection, observer = (RedisConnection(RedisSettings.parse(redis_url)) for _ in range(2))
    before = await _clients(observer)
    await asyncio.gather(*(connection.run_pipelined(ECHO, ("key",), ("x",)) for _ in range(50)))
    await connection.run_pipelined(ECHO, ("key",), ("known by now",))
    pipelined = {line for line in await _clients(observer) - before if b"cmd=evalsha" in line}
    assert pipelined
    await connection.close()
    await connection.close()

    async def gone() -> bool:
        """No client has stayed connected."""
        return not await _clients(observer) - before

    await eventually(gone)
    await observer.close()


async def test_an_unknown_script_is_given_to_the_server(connection: RedisConnection) -> None:
    """As by ``run``."""
    await connection.command("SCRIPT", "FLUSH")
    assert await _echo(connection, "x") == [b"key", b"x"]


async def test_a_refused_call_raises_what_run_raises(connection: RedisConnection) -> None:
    """The same error, translated by the same table; the connection stays in use."""
    await connection.command("SET", "key", "no list")
    with pytest.raises(Exception, match="WRONGTYPE") as by_run:
        await connection.run(FAILS, ("key",), ("x",))
    with pytest.raises(Exception, match="WRONGTYPE") as by_pipeline:
        await connection.run_pipelined(FAILS, ("key",), ("x",))
    assert type(by_pipeline.value) is type(by_run.value)
    assert await _echo(connection, "x") == [b"key", b"x"]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_is_asked_for_again(proxy: Proxy, connection: RedisConnection, times: int) -> None:
    """Up to twice; all calls that waited on the lost connection get an answer."""
    await _echo(connection, "open")
    proxy.lose(b"EVALSHA", times)
    answers = await asyncio.gather(*(_echo(connection, str(number)) for number in range(10)))
    assert answers == [[b"key", str(number).encode()] for number in range(10)]


async def test_a_refusal_after_a_lost_answer_is_reported_as_the_loss(proxy: Proxy, connection: RedisConnection) -> None:
    """The first call may have done what is refused when repeated; so its own error is raised."""
    await connection.run(COUNT, ("count",), ())
    proxy.lose(b"EVALSHA")
    with pytest.raises(StreamUnavailable, match="connection lost"), connection.errors():
        await connection.run_pipelined(COUNT, ("count",), (), refuses=lambda reply: reply == 3)
    assert await connection.run_pipelined(COUNT, ("count",), (), refuses=lambda reply: reply == 4) == 4
    proxy.lose(b"EVALSHA", then="NOPERM not allowed")
    with pytest.raises(StreamUnavailable, match="connection lost"), connection.errors():
        await _echo(connection, "x")
    with pytest.raises(ConfigurationError, match="denies"):
        await _echo(connection, "x")


async def test_no_answer_at_all_is_an_outage(proxy: Proxy, connection: RedisConnection) -> None:
    """After the third loss; the next call connects again."""
    await _echo(connection, "open")
    proxy.lose(b"EVALSHA", 3)
    with pytest.raises(StreamUnavailable, match="connection lost"):
        await _echo(connection, "x")
    assert await _echo(connection, "y") == [b"key", b"y"]


async def test_a_silent_server_is_noticed(proxy: Proxy, connection: RedisConnection) -> None:
    """A connection that is open but dead ends its calls within their deadline."""
    await _echo(connection, "open")
    proxy.swallow(b"silence")
    with pytest.raises(StreamUnavailable, match="no answer in time"):
        await _echo(connection, "silence")
    proxy.heal()
    assert await _echo(connection, "y") == [b"key", b"y"]


async def test_an_answer_later_than_the_timer_of_an_earlier_call(proxy: Proxy, connection: RedisConnection) -> None:
    """The one timer of all calls is set again for a later call, and does not fire for one that is answered."""
    await _echo(connection, "open")
    await asyncio.sleep(SHORT.total_seconds() * 0.7)
    proxy.swallow(b"silence")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    waiting = asyncio.create_task(_echo(connection, "silence"))
    await asyncio.sleep(SHORT.total_seconds() * 0.6)
    assert not waiting.done()
    proxy.heal()
    assert await waiting == [b"key", b"silence"]
    assert loop.time() - begun >= SHORT.total_seconds() * 0.95


async def test_a_cancelled_call_abandons_its_connection(proxy: Proxy, connection: RedisConnection) -> None:
    """It may be dead, so the next call uses another one."""
    await _echo(connection, "open")
    proxy.swallow(b"silence")
    cancelled = asyncio.create_task(_echo(connection, "silence"))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    async with asyncio.timeout(SHORT.total_seconds() / 2):
        assert await _echo(connection, "next") == [b"key", b"next"]


async def test_a_connection_closed_by_the_server_is_replaced(redis_url: str) -> None:
    """As after a restart, or when the server closes idle connections."""
    connection, admin = (RedisConnection(RedisSettings.parse(redis_url)) for _ in range(2))
    await _echo(connection, "open")
    await admin.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert await _echo(connection, "x") == [b"key", b"x"]
    await connection.forget_connections()
    assert await _echo(connection, "y") == [b"key", b"y"]
    await connection.close()
    await admin.close()


async def _clients(observer: RedisConnection) -> set[bytes]:
    """Return a line for each client, without the fields that change all the time."""
    answer = await observer.command("CLIENT", "LIST")
    assert isinstance(answer, bytes)
    wanted = (b"id=", b"cmd=")
    lines = [b" ".join(part for part in line.split() if part.startswith(wanted)) for line in answer.splitlines()]
    return {line for line in lines if b"cmd=client" not in line}
