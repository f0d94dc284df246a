"""Producing, by the numbers of the acceptance list."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest
from pydantic import BaseModel, JsonValue

from event_backbone import Backbone, Consumer, Context, Contract, EventKey, Outgoing, StoredEvent, event
from event_backbone.model import new_event_id
from event_backbone.storage import MemoryStorage, SplitStorage
from tests.acceptance.deployment import ON_SERVERS, Deployment
from tests.support.shipment import NOW, URI, Billing, Product, ShipmentTracking, SplitShipments, User, consume

CallNext = Callable[[Outgoing], Awaitable[EventKey]]


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


async def test_item_11_one_event_to_several_streams(deployment: Deployment) -> None:
    """One call makes one event in each stream, under one event id, and repeating it changes nothing.

    Keys come back in the order of the streams; interceptors and a split payload work for each.
    """
    uris, event_id = ("third", "first", "second"), new_event_id()

    async def mark(event: Outgoing, call_next: CallNext) -> EventKey:
        return await call_next(event.with_headers(shop="blue"))

    split = SplitStorage(deployment.storage(), {"email": MemoryStorage("private")})
    async with deployment.backbone(storage=split, produce_interceptors=[mark]) as backbone:
        packing = backbone.producer(SplitShipments, uri=uris).packing.using(event_id=event_id)
        keys = await packing.to_each("jo@example.com", 7, NOW)
        assert tuple(keys) == uris
        assert await packing("jo@example.com", 7, NOW) == keys["third"]
        for uri, key in keys.items():
            (found,) = [each async for each in backbone.reader(uri).scan()]
            arguments = found.as_(SplitShipments.packing).arguments
            assert arguments == {"email": "jo@example.com", "product_id": 7, "time": NOW}
            assert (found.key, found.metadata.event_id, found.metadata.headers["shop"]) == (key, event_id, "blue")
            assert [each.storage for each in found.references] == [split.name, "private"]


@ON_SERVERS
async def test_items_12_and_13_everything_at_once(deployment: Deployment) -> None:
    """Another environment, interceptors on both sides, and payloads split over three storages."""
    seen: list[str] = []

    async def outgoing(event: Outgoing, call_next: CallNext) -> EventKey:
        return await call_next(event.with_headers(shop="blue"))

    async def incoming(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        seen.append(ctx.metadata.headers["shop"])
        await call_next(ctx)

    apart = {"email": MemoryStorage("private"), "time": MemoryStorage("times")}
    split = SplitStorage(deployment.storage(), apart)
    consumer = Consumer(SplitShipments)

    @consumer.on(SplitShipments.packing)
    async def packing(ctx: Context, email: str | None, product_id: int, time: datetime | None) -> None:
        seen.append(f"{product_id} to {email} at {time}")

    async with deployment.backbone(
        environment="Production", storage=split, produce_interceptors=[outgoing], handle_interceptors=[incoming]
    ) as backbone:
        assert backbone.environment == "prod"
        key = await backbone.producer(SplitShipments, uri=URI).packing("jo@example.com", 7, NOW)
        assert len(backbone.location(await backbone.reader(URI).get(key))) == 3
        await consume(backbone, consumer, 1)
    assert seen == ["blue", f"7 to jo@example.com at {NOW}"]


class Everything(ShipmentTracking, Billing):
    """Both contracts in one stream, by inheritance."""


class Ledger(Contract):
    """Both in one stream, with separate names for the same events on the wire."""

    @event(name="note")
    def remark(self, text: str) -> None:
        """A note."""

    @event(name="invoiced")
    def billed(self, number: int) -> None:
        """An invoice."""


@pytest.mark.parametrize("named", [False, True], ids=["inherited", "named"])
async def test_item_28_two_contracts_feed_one_consumer(backbone: Backbone, named: bool) -> None:
    """Two producers of different contracts write to one stream; one consumer handles both."""
    seen: list[object] = []

    async def note(ctx: Context, text: str) -> None:
        seen.append(text)

    async def invoiced(ctx: Context, number: int) -> None:
        seen.append(number)

    everything, ledger = Consumer(Everything), Consumer(Ledger)
    everything.on(Everything.note)(note)
    everything.on(Everything.invoiced)(invoiced)
    ledger.on(Ledger.remark)(note)
    ledger.on(Ledger.billed)(invoiced)
    await backbone.producer(ShipmentTracking, uri=URI).note("a")
    await backbone.producer(Billing, uri=URI).invoiced(1)
    await consume(backbone, ledger if named else everything, 2)
    assert sorted(map(str, seen)) == ["1", "a"]


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
