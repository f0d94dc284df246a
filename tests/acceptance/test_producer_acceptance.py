"""The original system's acceptance list, producing: the numbers are those of its test inventory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.interceptors import Outgoing
from event_backbone.metadata import EventKey, StreamName, new_event_id
from event_backbone.storage import MemoryStorage, RedisHashStorage, S3Storage, SplitStorage, StorageScope
from event_backbone.testing.memory import memory_backbone
from tests.support.shipment import Billing, Product, ShipmentTracking, User

URI = "shipments"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def _consume(
    backbone: Backbone, consumer: Consumer[Any], events: int, *, uri: str = URI, group: str = "g"
) -> None:
    async with (
        asyncio.timeout(20),
        backbone.subscribe(consumer, uri=uri, group=group, max_events=events) as subscription,
    ):
        await subscription.wait()


async def test_item_1_end_to_end(backbone: Backbone) -> None:
    """Every handler is called once, with the arguments that were produced."""
    consumer = Consumer(ShipmentTracking)
    ordered: list[tuple[User, Product, datetime]] = []
    packed: list[tuple[str, int, datetime]] = []

    @consumer.on(ShipmentTracking.order_placed)
    async def order_placed(ctx: Context, user: User, product: Product, time: datetime) -> None:
        ordered.append((user, product, time))

    @consumer.on(ShipmentTracking.packing)
    async def packing(ctx: Context, email: str, product_id: int, time: datetime) -> None:
        packed.append((email, product_id, time))

    producer = backbone.producer(ShipmentTracking, uri=URI)
    user, product = User(name="Jo", email="jo@example.com"), Product(id=7, title="Kettle")
    await producer.order_placed(user, product, NOW)
    await producer.packing("jo@example.com", 7, NOW)
    await _consume(backbone, consumer, 2)
    assert ordered == [(user, product, NOW)]
    assert packed == [("jo@example.com", 7, NOW)]


class _Handlers:
    """Handlers as methods of an object, to be inherited."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def note(self, ctx: Context, text: str) -> None:
        """Remember."""
        self.seen.append(text)


class _MoreHandlers(_Handlers):
    """Handlers of a subclass."""

    async def note(self, ctx: Context, text: str) -> None:
        """Remember, in capitals."""
        self.seen.append(text.upper())


async def test_item_2_four_styles_of_handling(backbone: Backbone) -> None:
    """A function, a bound method, an inherited method, and the fallback for whatever has no other handler."""
    seen: list[str] = []
    plain = Consumer(ShipmentTracking)

    @plain.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        seen.append(text)

    method, inherited, rest = (Consumer(ShipmentTracking) for _ in range(3))
    handlers, more = _Handlers(), _MoreHandlers()
    method.on(ShipmentTracking.note)(handlers.note)
    inherited.on(ShipmentTracking.note)(more.note)
    fallen: list[StoredEvent] = []

    @rest.fallback
    async def everything_else(ctx: Context, event: StoredEvent) -> None:
        fallen.append(event)

    await backbone.producer(ShipmentTracking, uri=URI).note("hello")
    for number, consumer in enumerate((plain, method, inherited, rest)):
        await _consume(backbone, consumer, 1, group=f"style-{number}")
    assert (seen, handlers.seen, more.seen) == (["hello"], ["hello"], ["HELLO"])
    assert [each.as_(ShipmentTracking.note).arguments for each in fallen] == [{"text": "hello"}]


class Old(Contract):
    """The contract of a producer that was never updated."""

    @event
    def init(self, text: str) -> None:
        """Version 1 of an idea."""

    @event
    def dropped(self, text: str) -> None:
        """Nobody handles it any more."""


class New(Contract):
    """Today's contract."""

    @event(version=2, name="init")
    def idea(self, title: str, text: str) -> None:
        """Version 2 of an idea."""

    @event
    def untouched(self) -> None:
        """An event that nobody produced."""


@New.idea.upcast(from_version=1)
def add_title(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Lead version 1 to version 2."""
    return {"title": "untitled", **arguments}


async def test_items_7_and_37_older_events_reach_the_newer_handler(backbone: Backbone) -> None:
    """By an upcaster; what leads nowhere goes to the fallback; handlers of other events are not called."""
    consumer = Consumer(New)
    seen: list[object] = []

    @consumer.on(New.idea)
    async def idea(ctx: Context, title: str, text: str) -> None:
        seen.append((title, text))

    @consumer.on(New.untouched)
    async def untouched(ctx: Context) -> None:
        seen.append("untouched")

    @consumer.fallback
    async def rest(ctx: Context, event: StoredEvent) -> None:
        seen.append((event.metadata.event, event.arguments))

    old = backbone.producer(Old, uri=URI)
    await old.init("v1")
    await old.dropped("gone")
    await backbone.producer(New, uri=URI).idea("a title", "v2")
    await _consume(backbone, consumer, 3)
    assert {repr(each) for each in seen} == {
        repr(("untitled", "v1")),
        repr(("dropped", {"text": "gone"})),
        repr(("a title", "v2")),
    }


class Derived(New):
    """A contract that takes another one over and goes on from it."""

    @event
    def closed(self, reason: str) -> None:
        """The idea was dropped."""


async def test_items_8_and_37_a_derived_contract_takes_over_its_base(backbone: Backbone) -> None:
    """Its consumer handles events of the base, upcasters included, and its own."""
    consumer = Consumer(Derived)
    seen: list[str] = []

    @consumer.on(Derived.idea)
    async def idea(ctx: Context, title: str, text: str) -> None:
        seen.append(f"{title}: {text}")

    @consumer.on(Derived.closed)
    async def closed(ctx: Context, reason: str) -> None:
        seen.append(reason)

    await backbone.producer(Old, uri=URI).init("v1")
    await backbone.producer(Derived, uri=URI).closed("too late")
    await _consume(backbone, consumer, 2)
    assert sorted(seen) == ["too late", "untitled: v1"]


class _CountingStorage(MemoryStorage):
    """Counts what is saved, and remembers which arguments."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.saved: list[set[str]] = []

    async def save(self, scope: StorageScope, event_id: Any, payload: Any) -> Any:
        """Count, and save."""
        self.saved.append(set(payload))
        return await super().save(scope, event_id, payload)


async def test_item_10_a_payload_is_saved_once_in_the_storage_of_its_part() -> None:
    """One save an event and part: what is scoped to an argument gets that argument, the rest goes elsewhere."""
    private, rest = _CountingStorage("private"), _CountingStorage("rest")
    async with memory_backbone(SplitStorage(rest, {"email": private})) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, NOW)
        assert (await backbone.reader(URI).get(key)).arguments["email"] == "jo@example.com"
    assert private.saved == [{"email"}]
    assert rest.saved == [{"product_id", "time"}]


async def test_item_11_one_event_to_several_streams(backbone: Backbone) -> None:
    """With one event id for all: keys come back in the order of the streams, and doing it again changes nothing."""
    uris = ("first", "second", "third")
    event_id = new_event_id()

    async def to_all() -> list[EventKey]:
        producers = [backbone.producer(ShipmentTracking, uri=uri) for uri in uris]
        return await asyncio.gather(*(each.note.using(event_id=event_id)("to all") for each in producers))

    keys = await to_all()
    assert await to_all() == keys
    for uri, key in zip(uris, keys, strict=True):
        (found,) = [each async for each in backbone.reader(uri).scan()]
        assert (found.key, found.metadata.event_id, found.arguments) == (key, event_id, {"text": "to all"})


async def test_items_12_and_13_everything_at_once(redis_url: str) -> None:
    """Another environment, interceptors on both sides, and payloads split over three storages."""
    seen: list[str] = []

    async def outgoing(event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        return await call_next(event.with_headers(shop="blue"))

    async def incoming(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        seen.append(ctx.metadata.headers["shop"])
        await call_next(ctx)

    split = SplitStorage(RedisHashStorage(), {"email": MemoryStorage("private"), "time": MemoryStorage("times")})
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.packing)
    async def packing(ctx: Context, email: str, product_id: int, time: datetime) -> None:
        seen.append(f"{product_id} to {email} at {time}")

    async with Backbone(
        redis_url,
        storage=split,
        environment="Production",
        produce_interceptors=[outgoing],
        handle_interceptors=[incoming],
    ) as backbone:
        assert backbone.environment == "prod"
        key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, NOW)
        assert len(backbone.location(await backbone.reader(URI).get(key))) == 3
        await _consume(backbone, consumer, 1)
    assert seen == ["blue", f"7 to jo@example.com at {NOW}"]


async def test_item_21_only_the_same_environment_meets(redis_url: str) -> None:
    """Three events reach the consumer of their environment once each, and no other."""
    async with AsyncExitStack() as stack:
        dev, test = [await stack.enter_async_context(Backbone(redis_url, environment=name)) for name in ("dev", "test")]
        seen: dict[str, list[str]] = {"dev": [], "test": []}
        for backbone in (dev, test):
            producer = backbone.producer(ShipmentTracking, uri=URI)
            for number in range(3):
                await producer.note(f"{backbone.environment} {number}")
        for backbone in (dev, test):
            consumer = Consumer(ShipmentTracking)

            @consumer.on(ShipmentTracking.note)
            async def note(ctx: Context, text: str) -> None:
                seen[ctx.metadata.environment].append(text)

            await _consume(backbone, consumer, 3)
        assert {name: sorted(texts) for name, texts in seen.items()} == {
            name: [f"{name} {number}" for number in range(3)] for name in ("dev", "test")
        }


class Everything(ShipmentTracking, Billing):
    """Both contracts in one stream."""


async def test_item_28_two_contracts_feed_one_consumer(backbone: Backbone) -> None:
    """Two producers of different contracts write to one stream; one consumer handles both."""
    consumer = Consumer(Everything)
    seen: list[object] = []

    @consumer.on(Everything.note)
    async def note(ctx: Context, text: str) -> None:
        seen.append(text)

    @consumer.on(Everything.invoiced)
    async def invoiced(ctx: Context, number: int) -> None:
        seen.append(number)

    await backbone.producer(ShipmentTracking, uri=URI).note("a")
    await backbone.producer(Billing, uri=URI).invoiced(1)
    await _consume(backbone, consumer, 2)
    assert sorted(map(str, seen)) == ["1", "a"]


async def test_item_33_routing_over_environments_and_uris(redis_url: str) -> None:
    """Another environment, a prefix, a suffix, a URI chosen by the event: six streams, each received apart."""
    routes = [
        ("dev", "shop"),
        ("test", "shop"),
        ("dev", "north/shop"),
        ("dev", "shop/returns"),
        *(("dev", f"shop/{number % 2}") for number in range(2)),
    ]
    async with AsyncExitStack() as stack:
        backbones = {
            name: await stack.enter_async_context(Backbone(redis_url, environment=name)) for name in ("dev", "test")
        }
        for environment, uri in routes:
            await backbones[environment].producer(ShipmentTracking, uri=uri).note(f"{environment} {uri}")
        for environment, uri in routes:
            found = [each async for each in backbones[environment].reader(uri).scan()]
            assert [each.arguments["text"] for each in found] == [f"{environment} {uri}"]


async def test_item_38_fifteen_hundred_at_once(backbone: Backbone, request: pytest.FixtureRequest) -> None:
    """The last one is found by its key, and so is each of another fifteen hundred, as JSON."""
    count = 150 if "s3" in request.node.name else 1500  # the S3 server of tests takes 10 ms for each object
    producer = backbone.producer(ShipmentTracking, uri=URI)
    reader = backbone.reader(URI)
    keys = await asyncio.gather(*(producer.note(str(number)) for number in range(count)))
    assert (await reader.get(keys[-1])).arguments == {"text": str(count - 1)}

    async def there_and_back(number: int) -> JsonValue:
        return (await reader.get(await producer.note(str(number)))).json()["arguments"]

    found = await asyncio.gather(*(there_and_back(number) for number in range(count)))
    assert found == [{"text": str(number)} for number in range(count)]


class Line(BaseModel):
    """One line of an order."""

    product: int
    options: dict[str, list[str]]


class Orders(Contract):
    """Arguments of any depth."""

    @event
    def ordered(self, lines: list[Line], extra: JsonValue) -> None:
        """An order with lines, and whatever a shop adds to it."""


async def test_item_39_nested_arguments(backbone: Backbone) -> None:
    """Lists of models and free JSON come back equal."""
    lines = [Line(product=1, options={"colour": ["red", "blue"]}), Line(product=2, options={})]
    extra: JsonValue = {"gift": True, "tags": ["a", {"deep": [1, 2.5, None]}]}
    key = await backbone.producer(Orders, uri=URI).ordered(lines, extra)
    stored = await backbone.reader(URI).get(key)
    assert stored.as_(Orders.ordered).arguments == {"lines": lines, "extra": extra}
    assert stored.arguments["extra"] == extra


@pytest.mark.usefixtures("s3_environment")
async def test_item_40_personal_data_in_s3_and_the_rest_in_redis(redis_url: str) -> None:
    """The consumer gets both parts as one event; erasing the one leaves the event known, without its payload."""
    storage = SplitStorage(RedisHashStorage(), {"email": S3Storage()})
    consumer = Consumer(ShipmentTracking)
    seen: list[tuple[object, ...]] = []

    @consumer.on(ShipmentTracking.packing)
    async def packing(ctx: Context, email: str, product_id: int, time: datetime) -> None:
        seen.append((email, product_id, time))

    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, NOW)
        stored = await backbone.reader(URI).get(key)
        assert {reference.storage for reference in stored.references} == {"redis-hash", "s3"}
        await _consume(backbone, consumer, 1)
    assert seen == [("jo@example.com", 7, NOW)]


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("environment", ["dev", ""])
async def test_item_43_s3_with_and_without_an_environment(redis_url: str, environment: str) -> None:
    """Options from environment variables; the object lies below the environment, or below nothing."""
    async with Backbone(redis_url, storage=S3Storage(), environment=environment) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("in S3")
        stored = await backbone.reader(URI).get(key)
        assert stored.arguments == {"text": "in S3"}
        (location,) = backbone.location(stored)
        assert StreamName.of(URI).uri in location
        assert ("dev" in location) is (environment == "dev")
