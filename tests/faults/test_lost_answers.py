"""Answers that are lost after the server has done what it was asked: nothing happens twice, and nothing is missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import StreamUnavailable
from event_backbone.settings import RedisSettings
from event_backbone.stream import Delivery, GroupReader
from event_backbone.stream.redis import RedisStreams, append, claim_scripts, lease_scripts
from event_backbone.testing.servers import RedisServer
from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, keys_of, lease_of, new_entry
from tests.faults.proxy import Proxy, proxy_before

SCRIPT = b"EVALSHA"


@pytest.fixture
async def proxy(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Proxy]:
    """A proxy before an empty server that knows all scripts, so that the lost answer is that of the script itself."""
    loading = RedisConnection(RedisSettings.parse(redis_url))
    for script in (append.APPEND, *vars(lease_scripts).values(), *vars(claim_scripts).values()):
        if isinstance(script, Script):
            await loading.command("SCRIPT", "LOAD", script.source)
    await loading.close()
    async with proxy_before(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def streams(proxy: Proxy) -> AsyncIterator[RedisStreams]:
    """Streams that are reached through the proxy."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(proxy.url)))
    yield streams
    await streams.close()


async def one_delivery(streams: RedisStreams) -> Delivery:
    """Append one entry and read it."""
    await streams.stream(NAME).append([new_entry()])
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    [delivery] = await reader.read(1, NO_WAIT)
    return delivery


@pytest.mark.parametrize("times", [1, 2])
async def test_an_append_whose_answer_is_lost_makes_one_entry(proxy: Proxy, streams: RedisStreams, times: int) -> None:
    """Repeated by the connection itself, it answers the key of the entry that the first one made."""
    stream = streams.stream(NAME)
    await stream.append([new_entry()])
    proxy.lose(SCRIPT, times)
    [key] = keys_of(await stream.append([new_entry("second")]))
    assert [entry.key for entry in await stream.range(None, None, 10)][1:] == [key]


async def test_an_append_repeated_by_its_caller_makes_one_entry(proxy: Proxy, streams: RedisStreams) -> None:
    """When no answer comes at all the caller is told, and may ask again with the same event id."""
    stream, entry = streams.stream(NAME), new_entry()
    await stream.append([new_entry()])
    proxy.lose(SCRIPT, 3)
    with pytest.raises(StreamUnavailable):
        await stream.append([entry])
    [key] = keys_of(await stream.append([entry]))
    assert [entry.key for entry in await stream.range(None, None, 10)][1:] == [key]


async def test_entries_of_a_lost_read_are_recovered(proxy: Proxy, streams: RedisStreams) -> None:
    """The read is not repeated, which would hide them; recover finds them, their attempt still the first."""
    [key] = keys_of(await streams.stream(NAME).append([new_entry()]))
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    proxy.lose(b"XREADGROUP")
    with pytest.raises(StreamUnavailable):
        await reader.read(10, NO_WAIT)
    assert [(each.entry.key, each.attempt) for each in await reader.recover(())] == [(key, 1)]
    assert list(await reader.read(10, NO_WAIT)) == []


async def test_a_reader_can_be_woken_after_a_lost_answer(proxy: Proxy, streams: RedisStreams) -> None:
    """It reads on another connection now, and that one is woken."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await reader.read(1, NO_WAIT)
    proxy.lose(b"XREADGROUP")
    with pytest.raises(StreamUnavailable):
        await reader.read(1, NO_WAIT)
    loop = asyncio.get_running_loop()
    begun, reading = loop.time(), asyncio.create_task(_read(reader))
    await asyncio.sleep(0.05)
    await reader.wake()
    assert reading.done()
    assert loop.time() - begun < 0.9


async def test_a_cancelled_read_leaves_nothing_for_the_next(streams: RedisStreams) -> None:
    """Whatever it was still given is recovered; the next read gets its own answer."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await reader.read(1, NO_WAIT)
    reading = asyncio.create_task(_read(reader))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    keys = keys_of(await streams.stream(NAME).append([new_entry(), new_entry()]))
    found = [*await reader.read(10, NO_WAIT), *await reader.recover(())]
    assert {delivery.entry.key for delivery in found} == set(keys)


async def test_an_ack_whose_answer_is_lost_is_done(proxy: Proxy, streams: RedisStreams) -> None:
    """It is not told as a lost lease: the entry is finished, and nobody else had it."""
    lease = lease_of(await one_delivery(streams))
    leases = streams.group_leases(NAME, GROUP, "one")
    await leases.renew([lease])
    proxy.lose(SCRIPT)
    assert await leases.ack([lease]) == frozenset()
    assert list(await streams.group_admin(NAME, GROUP).pending(None, 10)) == []


async def test_a_lost_lease_is_told_also_after_a_lost_answer(proxy: Proxy, streams: RedisStreams) -> None:
    """What is pending for another consumer was not finished by the first call."""
    delivery = await one_delivery(streams)
    await streams.group_reader(NAME, GROUP, "two").claim(1, timedelta(0), ())
    leases = streams.group_leases(NAME, GROUP, "one")
    await leases.renew(())
    proxy.lose(SCRIPT)
    assert await leases.ack([lease_of(delivery)]) == frozenset({delivery.entry.key})


async def test_a_dead_letter_whose_answer_is_lost_is_one(proxy: Proxy, streams: RedisStreams) -> None:
    """The entry is moved once, and acked."""
    lease = lease_of(await one_delivery(streams))
    proxy.lose(SCRIPT)
    assert await streams.group_leases(NAME, GROUP, "one").dead_letter(lease, LETTER) == frozenset()
    assert len(await streams.group_admin(NAME, GROUP).dead_letters(None, 10)) == 1
    assert list(await streams.group_admin(NAME, GROUP).pending(None, 10)) == []


async def test_entries_of_a_lost_claim_are_recovered(proxy: Proxy, streams: RedisStreams) -> None:
    """The claim is not repeated; its entries are pending under the claimer's name, counted once."""
    delivery = await one_delivery(streams)
    claimer = streams.group_reader(NAME, GROUP, "two")
    proxy.lose(SCRIPT)
    with pytest.raises(StreamUnavailable):
        await claimer.claim(10, timedelta(0), ())
    assert [(each.entry, each.attempt) for each in await claimer.recover(())] == [(delivery.entry, 2)]


async def test_an_attempt_whose_beginning_is_lost_is_one(proxy: Proxy, streams: RedisStreams) -> None:
    """Beginning it is repeated, and does not count twice."""
    lease = lease_of(await one_delivery(streams))
    leases = streams.group_leases(NAME, GROUP, "one")
    proxy.lose(SCRIPT, 2)
    again = await leases.begin_attempt(lease)
    assert again is not None
    assert again.attempt == 2


async def test_a_failure_whose_answer_is_lost_counts_once(proxy: Proxy, streams: RedisStreams) -> None:
    """Recording it is repeated for the same attempt."""
    lease = lease_of(await one_delivery(streams))
    proxy.lose(SCRIPT, 2)
    assert await streams.group_leases(NAME, GROUP, "one").record_failure(lease) == frozenset()
    [again] = await streams.group_reader(NAME, GROUP, "one").recover(())
    assert again.failures == 1


async def test_a_silent_server_is_noticed(proxy: Proxy) -> None:
    """A connection that is open but dead ends every call within its deadline, and the next one works."""
    connection = RedisConnection(RedisSettings.parse(proxy.url), answer_within=timedelta(seconds=1.05))
    streams = RedisStreams(connection)
    proxy.swallow(b"XREADGROUP")
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    with pytest.raises(StreamUnavailable, match="no answer in time"):
        await reader.read(1, NO_WAIT)
    proxy.heal()
    assert list(await reader.read(1, NO_WAIT)) == []
    await streams.close()


async def _read(reader: GroupReader) -> object:
    return await reader.read(1, timedelta(seconds=1))
