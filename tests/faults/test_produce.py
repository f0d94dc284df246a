"""Producing while Redis dies, comes back, or never comes: one call is one entry, and every call ends."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.errors import ConfigurationError, NotSent, OutcomeUnknown
from event_backbone.model import EventKey
from event_backbone.testing.servers import RedisServer
from tests.faults.proxy import proxy_before
from tests.support.shipment import ShipmentTracking

URI = "shipments"


async def test_a_killed_server_that_comes_back_costs_no_event_and_doubles_none(own_redis: RedisServer) -> None:
    """Promise 2: the calls wait, and each has made one entry with its own payload."""
    async with Backbone(own_redis.url) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("connected")
        calls = [asyncio.create_task(producer.note(str(number))) for number in range(2000)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(own_redis.kill)
        await asyncio.sleep(0.2)  # calls fail and are repeated meanwhile
        await asyncio.to_thread(own_redis.start)
        async with asyncio.timeout(30):
            keys = await asyncio.gather(*calls)
        found = {event.key: event.arguments["text"] async for event in backbone.reader(URI).scan()}
    # What was answered before the kill may be lost with it: the file is synced once a second. Nothing is there twice.
    texts = list(found.values())
    assert len(texts) == len(set(texts))
    assert all(found[key] == str(number) for number, key in enumerate(keys) if key in found)
    assert found[keys[-1]] == "1999"


async def test_a_server_that_stays_away_ends_every_call_in_one_sentence(own_redis: RedisServer) -> None:
    """After produce_timeout, not after the drain time of the backbone; the sentence names the server."""
    async with Backbone(own_redis.url, produce_timeout=timedelta(seconds=1)) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("connected")
        await asyncio.to_thread(own_redis.kill)
        async with asyncio.timeout(5):
            results = await asyncio.gather(*(producer.note("x") for _ in range(600)), return_exceptions=True)
    assert {type(result) for result in results} <= {OutcomeUnknown, NotSent}
    assert any("does not answer" in str(result) for result in results)


async def test_leaving_while_the_server_is_away_ends_within_the_drain_time(own_redis: RedisServer) -> None:
    """Nobody waits for a server forever."""
    backbone = Backbone(own_redis.url, drain=timedelta(milliseconds=200))
    async with asyncio.timeout(5), backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("connected")
        await asyncio.to_thread(own_redis.kill)
        calls = [asyncio.create_task(producer.note("x")) for _ in range(10)]
        await asyncio.sleep(0)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} <= {OutcomeUnknown, NotSent}


async def test_a_full_server_refuses_and_says_so(own_redis: RedisServer) -> None:
    """Out of memory: the event was not sent, no part of it is left, and later calls work again."""
    async with Backbone(own_redis.url, produce_timeout=timedelta(seconds=1)) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("connected")
        connection = backbone.redis
        assert connection is not None
        await connection.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises((NotSent, OutcomeUnknown), match="OOM"):
            await producer.note("x")
        await connection.command("CONFIG", "SET", "maxmemory", "0")
        key = await producer.note("y")
        assert isinstance(key, EventKey)
        assert [event.payload async for event in backbone.reader(URI).scan()] == ["present", "present"]


async def test_a_lost_script_is_loaded_again(own_redis: RedisServer) -> None:
    """NOSCRIPT after a restart or a flush is not the caller's error."""
    async with Backbone(own_redis.url) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("a")
        connection = backbone.redis
        assert connection is not None
        await connection.command("SCRIPT", "FLUSH")
        await producer.note("b")
        assert [event.arguments["text"] async for event in backbone.reader(URI).scan()] == ["a", "b"]


async def test_a_refusal_after_a_lost_answer_is_not_reported_as_not_sent(
    redis_server: RedisServer, redis_url: str
) -> None:
    """The answer to the first try was lost, and the event is in the stream: no error may say that it is not."""
    assert redis_url
    async with proxy_before(redis_server.port) as proxy, Backbone(proxy.url) as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        await producer.note("connected")
        proxy.lose(b"EVALSHA", then="NOPERM this user has no permissions to run the 'evalsha' command")
        with pytest.raises(OutcomeUnknown, match="denies this user a command") as caught:
            await producer.note("in doubt")
        assert isinstance(caught.value.__cause__, ConfigurationError)
        with pytest.raises(ConfigurationError, match="denies this user a command"):
            await producer.note("never sent")
        proxy.heal()
        again = await producer.note.using(event_id=caught.value.event_id)("in doubt")
        found = [(event.key, event.arguments["text"]) async for event in backbone.reader(URI).scan()]
    assert found[1:] == [(again, "in doubt")]
