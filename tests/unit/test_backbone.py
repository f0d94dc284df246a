"""The life cycle of a backbone: settings, opening, closing, opening again, and its errors when it is misused."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, event
from event_backbone.errors import (
    BackboneClosed,
    ConfigurationError,
    ContractError,
    EventNotFound,
    StorageMissing,
    StreamUnavailable,
)
from event_backbone.model import EventKey
from event_backbone.reader import Reader
from event_backbone.storage import MemoryStorage, RedisHashStorage
from event_backbone.subscription import SubscriptionKeywords, SubscriptionOptions
from event_backbone.testing.memory import memory_backbone
from tests.support.shipment import ShipmentTracking

URI = "shipments"


def test_without_an_endpoint_one_sentence_says_what_to_set() -> None:
    """No silent localhost."""
    with pytest.raises(ConfigurationError, match="REDIS_EVENT_SOURCE_ENDPOINT is not set"):
        Backbone()


async def test_without_arguments_the_environment_is_read(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint and environment; the storage is a Redis Hash beside the stream."""
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", redis_url)
    monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "Development")
    async with Backbone() as backbone:
        assert backbone.environment == "dev"
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
        stored = await backbone.reader(URI).get(key)
        assert backbone.location(stored) == [f"{{dev:{URI}}}:payload:{stored.metadata.event_id}"]


async def test_the_constructor_beats_the_environment(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with an empty environment, which leaves it out of every name."""
    monkeypatch.setenv("REDIS_EVENT_SOURCE_ENDPOINT", "localhost:1")
    monkeypatch.setenv("EVENT_SOURCE_ENVIRONMENT", "dev")
    async with Backbone(redis_url, environment="") as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
        assert (await backbone.reader(URI).get(key)).metadata.environment == ""


async def test_it_is_used_inside_async_with() -> None:
    """Before that, and after it, one sentence."""
    backbone = memory_backbone()
    with pytest.raises(ConfigurationError, match="async with"):
        backbone.producer(ShipmentTracking, uri=URI)
    async with backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        with pytest.raises(ConfigurationError, match="already open"):
            async with backbone:
                pass
    with pytest.raises(BackboneClosed):
        await producer.note("too late")
    with pytest.raises(BackboneClosed):
        backbone.reader(URI)
    with pytest.raises(BackboneClosed):
        await backbone.check()


async def test_it_may_be_opened_again(redis_url: str) -> None:
    """Producers and readers from before stay closed; new ones work."""
    backbone = Backbone(redis_url)
    async with backbone:
        old = backbone.producer(ShipmentTracking, uri=URI)
        await old.note("first")
    async with backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note("second")
        with pytest.raises(BackboneClosed):
            await old.note("third")
        assert [each.arguments["text"] async for each in backbone.reader(URI).scan()] == ["first", "second"]


@pytest.mark.parametrize("in_memory", [False, True], ids=["redis", "memory"])
def test_another_event_loop_is_refused_in_one_sentence(redis_url: str, in_memory: bool) -> None:
    """Before anything is sent, whatever is called. Its own loop goes on, and another one may open it after that."""
    backbone = memory_backbone() if in_memory else Backbone(redis_url)
    with asyncio.Runner() as own, asyncio.Runner() as other:
        own.run(backbone.__aenter__())
        producer, reader = backbone.producer(ShipmentTracking, uri=URI), backbone.reader(URI)
        consumer = Consumer(ShipmentTracking)

        async def subscribe() -> None:
            backbone.subscribe(consumer, uri=URI, group="g")

        calls: list[Callable[[], Coroutine[object, object, object]]] = [
            lambda: producer.note("x"),
            lambda: backbone.groups(URI),
            lambda: backbone.pending(URI, "g"),
            lambda: backbone.erase(URI, EventKey(1)),
            lambda: backbone.reserve_event_id(URI, "token", b"body"),
            lambda: backbone.__aexit__(None, None, None),
            backbone.check,
            subscribe,
        ]
        if not in_memory:
            calls += [lambda: reader.get(EventKey(1)), lambda: _first(reader)]
        for call in calls:
            with pytest.raises(ConfigurationError, match="opened in another event loop"):
                other.run(call())
        own.run(producer.note("sent"))
        with pytest.raises(ConfigurationError, match="opened in another event loop"):
            other.run(producer.note("x"))
        assert own.run(_first(reader)) == "sent"
        own.run(backbone.__aexit__(None, None, None))
        with pytest.raises(BackboneClosed):
            other.run(producer.note("x"))
        other.run(_note(backbone, "in another loop"))


async def _first(reader: Reader) -> object:
    """Return the text of the only event."""
    (event,) = [event async for event in reader.scan()]
    return event.arguments["text"]


async def _note(backbone: Backbone, text: str) -> None:
    async with backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note(text)


async def test_an_error_in_the_block_still_closes() -> None:
    """And is not replaced by another one."""
    backbone = memory_backbone()

    async def fail() -> None:
        async with backbone:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(BackboneClosed):
        backbone.producer(ShipmentTracking, uri=URI)


async def test_a_contract_is_checked_when_its_producer_is_made() -> None:
    """An annotation that cannot be resolved shows at once, not with the first event."""

    class Broken(Contract):
        @event  # pyright: ignore[reportUnknownArgumentType]
        def happened(self, thing: "NoSuchThing") -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]

    async with memory_backbone() as backbone:
        with pytest.raises(ContractError, match="thing"):
            backbone.producer(Broken, uri=URI)
        with pytest.raises(ContractError, match="thing"):
            backbone.subscribe(Consumer(Broken), uri=URI, group="g")


@pytest.mark.parametrize("uri", ["", "Upper", "a/../b", "sp ace"])
async def test_a_uri_is_checked_everywhere(uri: str) -> None:
    """Every method that takes a URI says what it may contain."""
    async with memory_backbone() as backbone:
        with pytest.raises(ConfigurationError, match="URI"):
            backbone.producer(ShipmentTracking, uri=uri)
        with pytest.raises(ConfigurationError, match="URI"):
            backbone.reader(uri)


def test_settings_that_cannot_work_are_refused() -> None:
    """Each is one sentence, when the backbone is made."""
    with pytest.raises(ConfigurationError, match="environment"):
        Backbone("localhost:1", environment="no spaces")
    with pytest.raises(ConfigurationError, match="produce_timeout"):
        Backbone("localhost:1", produce_timeout=timedelta(minutes=10))
    with pytest.raises(ConfigurationError, match="queue_bytes must be 1 or more, not 0"):
        Backbone("localhost:1", queue_bytes=0)
    with pytest.raises(ConfigurationError, match="Two storages are named 'memory'"):
        Backbone("localhost:1", storage=MemoryStorage(), also_read=[MemoryStorage()])
    with pytest.raises(ConfigurationError, match="scheme"):
        Backbone("http://localhost")


def test_every_option_of_a_subscription_can_be_given_to_subscribe() -> None:
    """Under the same name, with the same type."""
    options = {each.name: each.type for each in fields(SubscriptionOptions)}
    assert {name: hint.__forward_arg__ for name, hint in SubscriptionKeywords.__annotations__.items()} == options


async def test_a_server_that_is_away_shows_in_the_first_call() -> None:
    """Opening needs no server; the check says in one sentence which one does not answer."""
    async with Backbone("127.0.0.1:1") as backbone:
        with pytest.raises(StreamUnavailable, match=r"127\.0\.0\.1:1"):
            await backbone.check()


async def test_check_asks_stream_and_storages(redis_url: str) -> None:
    """With everything there, nothing happens."""
    async with Backbone(redis_url) as backbone:
        await backbone.check()
    async with memory_backbone() as backbone:
        await backbone.check()


async def test_events_written_before_a_switch_of_storage_stay_readable(redis_url: str) -> None:
    """The Redis Hash beside the stream is always read, other storages are named in also_read; else no reader waits."""
    kept = MemoryStorage()
    async with Backbone(redis_url) as backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note("in redis")
    async with Backbone(redis_url, storage=kept) as backbone:
        await backbone.producer(ShipmentTracking, uri=URI).note("in memory")
    async with Backbone(redis_url, storage=MemoryStorage("other"), also_read=[kept]) as backbone:
        first, last = [each async for each in backbone.reader(URI).scan()]
        assert (first.arguments, last.arguments) == ({"text": "in redis"}, {"text": "in memory"})
    async with Backbone(redis_url) as backbone:
        scan = backbone.reader(URI).scan(follow=True)
        with pytest.raises(StorageMissing, match="'memory' is configured; pass it to Backbone as storage= or in also_"):
            await anext(scan)
        with pytest.raises(StorageMissing, match="'memory'"):
            await backbone.erase(URI, last.key)
        with pytest.raises(StorageMissing, match="'memory'"):
            backbone.location(last)


async def test_an_idempotency_token_keeps_its_event_id() -> None:
    """The same token gives the same id, and says whether the request is the same, too."""
    async with memory_backbone() as backbone:
        first = await backbone.reserve_event_id(URI, "token", b"body")
        again = await backbone.reserve_event_id(URI, "token", b"body")
        other = await backbone.reserve_event_id(URI, "token", b"another body")
        assert (again.event_id, again.same_request) == (first.event_id, True)
        assert (other.event_id, other.same_request) == (first.event_id, False)
        assert (await backbone.reserve_event_id(URI, "another", b"body")).event_id != first.event_id


async def test_one_storage_may_serve_several_backbones(redis_url: str) -> None:
    """Closing one backbone leaves the other one working."""
    storage = RedisHashStorage(redis=redis_url, name="elsewhere")
    async with Backbone(redis_url, storage=storage, environment="a") as first:
        async with Backbone(redis_url, storage=storage, environment="b") as second:
            await second.producer(ShipmentTracking, uri=URI).note("second")
        key = await first.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 1, datetime.now(UTC))
        assert (await first.reader(URI).get(key)).payload == "present"


async def test_erasing_reaches_the_storage_of_the_event(redis_url: str) -> None:
    """Whatever storage is written to now."""
    async with Backbone(redis_url) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("x")
    async with Backbone(redis_url, storage=MemoryStorage()) as backbone:
        await backbone.erase(URI, key)
        assert (await backbone.reader(URI).get(key)).payload == "erased"
        with pytest.raises(EventNotFound):
            await backbone.erase(URI, EventKey(5))
