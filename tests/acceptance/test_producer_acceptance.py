"""The original system's acceptance list, producing: the numbers are those of its test inventory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime

import pytest
from pydantic import BaseModel, JsonValue

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.interceptors import Outgoing
from event_backbone.model import EventKey, new_event_id
from event_backbone.storage import MemoryStorage, RedisHashStorage, SplitStorage
from tests.support.shipment import NOW, URI, Billing, Product, ShipmentTracking, User, consume


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
    await consume(backbone, consumer, 2)
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
        await consume(backbone, consumer, 1, group=f"style-{number}")
    assert (seen, handlers.seen, more.seen) == (["hello"], ["hello"], ["HELLO"])
    assert [each.as_(ShipmentTracking.note).arguments for each in fallen] == [{"text": "hello"}]


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
        await consume(backbone, consumer, 1)
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

            await consume(backbone, consumer, 3)
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
    await consume(backbone, consumer, 2)
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
