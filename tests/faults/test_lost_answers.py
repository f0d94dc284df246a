"""Answers that are lost after the server has done what it was asked: nothing happens twice, and nothing is missed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from event_backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.errors import StreamUnavailable
from event_backbone.settings import RedisSettings
from event_backbone.stream import Delivery, GroupReader, Lease
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.admin import RedisGroupAdmin
from event_backbone.stream.redis.admin_scripts import REDRIVE
from event_backbone.stream.redis.append import APPEND
from event_backbone.stream.redis.member_scripts import FETCH, LOOK
from event_backbone.stream.redis.settlement_scripts import ACK, DEAD_LETTER, MARK_ALONE, PARK, RELEASE
from event_backbone.stream.redis.trim_script import TRIM
from event_backbone.wire import read_redriven
from tests.conformance.stream_suite import GROUP, LETTER, NAME, NO_WAIT, keys_of, lease_of, new_entry
from tests.faults.known_scripts import called
from tests.faults.proxy import Proxy
from tests.support.parcels import URI
from tests.support.retention import Retained

LEASE = timedelta(milliseconds=200)


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
    proxy.lose(called(APPEND), times)
    [key] = keys_of(await stream.append([new_entry("second")]))
    assert [entry.key for entry in await stream.range(None, None, 10)][1:] == [key]


async def test_an_append_repeated_by_its_caller_makes_one_entry(proxy: Proxy, streams: RedisStreams) -> None:
    """When no answer comes at all, the caller gets an error, and may ask again with the same event id."""
    stream, entry = streams.stream(NAME), new_entry()
    await stream.append([new_entry()])
    proxy.lose(called(APPEND), 3)
    with pytest.raises(StreamUnavailable):
        await stream.append([entry])
    [key] = keys_of(await stream.append([entry]))
    assert [entry.key for entry in await stream.range(None, None, 10)][1:] == [key]


async def test_entries_of_a_lost_read_are_found(proxy: Proxy, streams: RedisStreams) -> None:
    """The read is not repeated, which would hide them; a comparison finds them, their attempt still the first."""
    [key] = keys_of(await streams.stream(NAME).append([new_entry()]))
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    proxy.lose(b"XREADGROUP")
    with pytest.raises(StreamUnavailable):
        await reader.read(10, NO_WAIT)
    assert [(each.entry.key, each.attempt) for each in (await reader.compare(())).deliveries] == [(key, 1)]
    assert list(await reader.read(10, NO_WAIT)) == []


async def test_a_reader_can_be_woken_after_a_lost_answer(proxy: Proxy, streams: RedisStreams) -> None:
    """It now reads on another connection, and that one is woken."""
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
    """A comparison finds whatever it was still given; the next read gets its own answer."""
    reader = streams.group_reader(NAME, GROUP, "one")
    await reader.ensure("beginning")
    await reader.read(1, NO_WAIT)
    reading = asyncio.create_task(_read(reader))
    await asyncio.sleep(0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    keys = keys_of(await streams.stream(NAME).append([new_entry(), new_entry()]))
    found = [*await reader.read(10, NO_WAIT), *(await reader.compare(())).deliveries]
    assert {delivery.entry.key for delivery in found} == set(keys)


async def test_an_ack_whose_answer_is_lost_is_done(proxy: Proxy, streams: RedisStreams) -> None:
    """It is not reported as a lost lease: the entry is finished, and nobody else had it."""
    lease = lease_of(await one_delivery(streams))
    proxy.lose(called(ACK))
    assert await streams.group_leases(NAME, GROUP, "one").ack([lease]) == frozenset()
    assert list(await streams.group_admin(NAME, GROUP).pending(None, 10)) == []


async def test_a_lost_lease_is_reported_even_after_a_lost_answer(
    proxy: Proxy, streams: RedisStreams, connection: RedisConnection
) -> None:
    """What is pending for another member was not finished by the first call."""
    key = (await one_delivery(streams)).entry.key
    await connection.command("XCLAIM", NAME.key, GROUP, "two", 0, key.entry_id)
    proxy.lose(called(ACK))
    assert await streams.group_leases(NAME, GROUP, "one").ack([Lease(key, 1)]) == frozenset({key})


async def test_a_dead_letter_whose_answer_is_lost_is_one(proxy: Proxy, streams: RedisStreams) -> None:
    """The entry is moved once, and acked."""
    lease = lease_of(await one_delivery(streams))
    proxy.lose(called(DEAD_LETTER))
    assert await streams.group_leases(NAME, GROUP, "one").dead_letter(lease, LETTER) == frozenset()
    assert len(await streams.group_admin(NAME, GROUP).dead_letters(None, 10)) == 1
    assert list(await streams.group_admin(NAME, GROUP).pending(None, 10)) == []


async def test_a_redrive_from_the_archive_whose_answer_is_lost_delivers_once(
    proxy: Proxy, streams: RedisStreams, connection: RedisConnection
) -> None:
    """Asked again, it finds the dead letter gone, and appends nothing more."""
    delivery = await one_delivery(streams)
    await streams.group_leases(NAME, GROUP, "one").dead_letter(lease_of(delivery), LETTER)
    await connection.command("XTRIM", NAME.key, "MAXLEN", 0)
    redis = RedisConnection(RedisSettings.parse(proxy.url))
    admin = RedisGroupAdmin(redis, NAME, GROUP)
    letters = await admin.dead_letters(None, 10)
    proxy.lose(called(REDRIVE))
    await admin.redrive_archived(letters, {delivery.entry.key: delivery.entry.fields[b"metadata"]})
    assert list(await admin.dead_letters(None, 10)) == []
    await redis.close()
    [again] = await streams.group_reader(NAME, GROUP, "one").read(10, NO_WAIT)
    assert read_redriven(again.entry.fields, 0) == (delivery.entry.key, GROUP, delivery.entry.fields)


@pytest.mark.parametrize("times", [1, 2])
async def test_what_a_lost_look_took_is_found_and_counted_once(proxy: Proxy, streams: RedisStreams, times: int) -> None:
    """The look is not repeated; what it took is found by the next comparison, also when that is lost once."""
    delivery = await one_delivery(streams)
    await streams.group_leases(NAME, GROUP, "one").release([lease_of(delivery)])
    two = streams.group_reader(NAME, GROUP, "two")
    proxy.lose(called(LOOK))
    proxy.lose(called(FETCH), times - 1)
    for lost in (two.look(LEASE, 10), *(two.compare(()) for _ in range(times - 1))):
        with pytest.raises(StreamUnavailable):
            await lost
    comparison = await two.compare(())
    assert (comparison.deliveries, comparison.lost) == ((delivery,), frozenset())


@pytest.mark.parametrize("times", [1, 4])
async def test_a_parking_whose_answer_is_lost_counts_once(proxy: Proxy, streams: RedisStreams, times: int) -> None:
    """When asked again, by the connection or its caller, what is no longer this member's is parked."""
    lease = lease_of(await one_delivery(streams))
    leases, reader = streams.group_leases(NAME, GROUP, "one"), streams.group_reader(NAME, GROUP, "one")
    proxy.lose(called(PARK), times)
    if times == 4:
        with pytest.raises(StreamUnavailable):
            await leases.park(lease, NO_WAIT)
    assert await leases.park(lease, NO_WAIT) == "parked"
    [again] = (await reader.look(LEASE, 10)).deliveries
    assert (again.attempt, again.failures) == (2, 1)


async def test_a_mark_and_a_release_whose_answers_are_lost_happen_once(proxy: Proxy, streams: RedisStreams) -> None:
    """The attempt is taken back once, and its mark with it."""
    lease = lease_of(await one_delivery(streams))
    leases, reader = streams.group_leases(NAME, GROUP, "one"), streams.group_reader(NAME, GROUP, "one")
    for script, call in ((MARK_ALONE, leases.mark_alone(lease)), (RELEASE, leases.release([lease]))):
        proxy.lose(called(script))
        assert await call == frozenset()
    [again] = (await reader.look(LEASE, 10)).deliveries
    assert (again.attempt, again.failures, again.ends_alone) == (1, 0, 0)


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


async def test_entries_removed_by_a_call_whose_answer_is_lost_are_cut_once(
    proxy: Proxy, connection: RedisConnection
) -> None:
    """What a forgotten group has lost is counted in the step in which it is removed."""
    through = RedisConnection(RedisSettings.parse(proxy.url))
    async with Backbone(proxy.url, environment="test") as backbone:
        retained = Retained(backbone, through)
        keys = await retained.produce(*range(150))
        await retained.set_group(*keys[:1], pending=keys[:1])
        await retained.fall_silent()
        proxy.lose(called(TRIM))
        await retained.carry_out()
        assert await retained.left() == []
        assert await retained.payloads() == 0
        (state,) = await backbone.groups(URI)
        assert (state.cut, state.cut_until, state.pending) == (150, keys[-1], 0)
    complete_from = await connection.command("HGET", retained.name.key_of("archive"), "complete-from")
    assert complete_from == keys[-1].successor().entry_id.encode()
    await through.close()
