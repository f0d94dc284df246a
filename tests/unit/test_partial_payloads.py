"""A payload of which a part is missing: its arguments become None or their default, and whoever reads it learns why."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import JsonValue

from event_backbone import Backbone, Consumer, Context, Contract, EventKey, StoredEvent, event
from event_backbone.contract import decode_partial
from event_backbone.errors import (
    ConfigurationError,
    DecodeError,
    EventNotFound,
    PayloadErased,
    PayloadGone,
    StorageError,
    StorageMissing,
)
from event_backbone.model import PartialPayload
from event_backbone.storage import MemoryStorage, Part, SplitStorage
from event_backbone.stream.memory import MemoryStreams
from tests.support.metrics import CountedMetrics
from tests.support.parcels import run_to_the_end

URI = "orders"
GROUP = "mailer"
Arguments = dict[str, JsonValue]


class Orders(Contract):
    """Orders, with personal data that can be missing."""

    @event
    def order_placed(self, order_id: int, email: str | None, name: str = "somebody") -> None:
        """A customer placed an order."""


class OldOrders(Contract):
    """The same event as it once was, when nothing could be missing."""

    @event
    def order_placed(self, order_id: int, email: str) -> None:
        """A customer placed an order."""


class LaterOrders(Contract):
    """The same event in a later version, which has a shop and another name for the number."""

    @event(version=2)
    def order_placed(self, number: int, shop: str, email: str | None, domain: str | None = "") -> None:
        """A customer placed an order."""


@LaterOrders.order_placed.upcast(from_version=1)
def with_shop(arguments: Arguments) -> Arguments:
    """Version 2 has a shop, and the domain of the address."""
    domain = str(arguments["email"] or "@nowhere").rpartition("@")[2]
    return {**arguments, "number": arguments["order_id"], "shop": "first", "domain": domain}


ERASED = PayloadErased("The payload was erased.")
GONE = PayloadGone("There is no payload.")


def partial_of(*missing: StorageError, **arguments: bytes) -> PartialPayload:
    """Return what is left of a payload."""
    return PartialPayload(arguments, {f"part-{place}": error for place, error in enumerate(missing)})


@pytest.mark.parametrize(
    ("contract", "there", "arguments", "missing"),
    [
        (Orders, {"order_id": b"1"}, {"order_id": 1, "email": None, "name": "somebody"}, ("email", "name")),
        (Orders, {"order_id": b"1", "name": b'"Ada"'}, {"order_id": 1, "email": None, "name": "Ada"}, ("email",)),
        (
            LaterOrders,
            {"order_id": b"1"},
            {"number": 1, "shop": "first", "email": None, "domain": "nowhere"},
            ("email",),
        ),
    ],
    ids=["None and a default", "None alone", "an old version"],
)
def test_missing_arguments_become_none_or_their_default(
    contract: type[Contract], there: dict[str, bytes], arguments: dict[str, object], missing: tuple[str, ...]
) -> None:
    """Upcasters get them as None, and may make something of it; what they make is not missing."""
    decoded = decode_partial(contract, "order_placed", 1, partial_of(ERASED, **there))
    assert decoded[1:] == (arguments, missing)


@pytest.mark.parametrize(
    ("contract", "errors", "expected"),
    [
        (OldOrders, [ERASED], PayloadErased),
        (OldOrders, [GONE, ERASED], PayloadErased),
        (OldOrders, [GONE], PayloadGone),
        (LaterOrders, [ERASED], PayloadErased),
    ],
    ids=["erased", "both", "gone", "an upcaster cannot do without it"],
)
def test_an_argument_that_can_be_neither_decides_for_the_event(
    contract: type[Contract], errors: list[StorageError], expected: type[StorageError]
) -> None:
    """With the error of the missing part: erased before gone."""
    there = {"order_id": b"1"} if contract is OldOrders else {"email": b'"a@b.c"'}
    with pytest.raises(expected) as raised:
        decode_partial(contract, "order_placed", 1, partial_of(*errors, **there))
    assert type(raised.value) is expected


def test_what_is_there_is_validated_as_ever() -> None:
    """A missing part is no excuse for the others."""
    with pytest.raises(DecodeError, match="'order_id'"):
        decode_partial(Orders, "order_placed", 1, partial_of(ERASED, order_id=b'"one"'))


class Shop:
    """Programs that share the streams, and each have their own storages."""

    def __init__(self) -> None:
        self._streams = MemoryStreams()
        self.rest, self.personal = MemoryStorage("rest"), MemoryStorage("personal")

    def backbone(self, personal: MemoryStorage | Part | None = None, **options: Any) -> Backbone:
        """A program that keeps e-mail addresses and names in the storage for personal data, or what stands for it."""
        part = personal or self.personal
        storage = SplitStorage(self.rest, {"email": part, "order_placed.name": part})
        return Backbone(storage=storage, environment="test", _streams=self._streams, **options)

    def backbone_without_split(self, **options: Any) -> Backbone:
        """A program that reads both storages, and says nothing of which argument is where."""
        storages: dict[str, Any] = {"storage": self.rest, "also_read": [self.personal]}
        return Backbone(environment="test", _streams=self._streams, **storages, **options)

    async def place(self, *order_ids: int) -> list[EventKey]:
        """Place orders of Ada."""
        async with self.backbone() as backbone:
            orders = backbone.producer(Orders, uri=URI)
            return [await orders.order_placed(each, "ada@example.com", "Ada") for each in order_ids]

    async def erase(self, key: EventKey) -> None:
        """Erase the personal data of one order."""
        async with self.backbone() as backbone:
            assert await backbone.erase(URI, key, part="personal") == [f"{{test:{URI}}}:payload:{await self._id(key)}"]

    async def _id(self, key: EventKey) -> str:
        async with self.backbone() as backbone:
            return str((await backbone.reader(URI).get(key)).metadata.event_id)


class Mailer:
    """Handles orders by remembering their arguments and what is missing."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.consumer = Consumer(Orders)
        self.consumer.on(Orders.order_placed)(self.order_placed)

    async def order_placed(self, ctx: Context, order_id: int, email: str | None, name: str = "nobody") -> None:
        """Remember."""
        self.seen.append((order_id, email, name, ctx.metadata.missing))


async def deliver(backbone: Backbone, consumer: Consumer[Any], events: int) -> None:
    """Run a consumer in a new group from the beginning of the stream."""
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=events))


async def test_handlers_interceptors_and_the_fallback_learn_what_was_erased(counted: CountedMetrics) -> None:
    """The event is delivered without it, and counted; an event that is whole names nothing."""
    shop, mailer = Shop(), Mailer()
    first, _ = await shop.place(1, 2)
    await shop.erase(first)
    intercepted: list[tuple[str, ...]] = []

    async def note(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        intercepted.append(ctx.metadata.missing)
        await call_next(ctx)

    async with shop.backbone(handle_interceptors=[note]) as backbone:
        await deliver(backbone, mailer.consumer, 2)
    assert sorted(mailer.seen) == [(1, None, "somebody", ("email", "name")), (2, "ada@example.com", "Ada", ())]
    assert sorted(intercepted) == [(), ("email", "name")]
    assert counted.count("event_backbone.partial", reason="erased", uri=URI, group=GROUP, event="order_placed") == 1

    rest, fallen = Consumer(Orders), list[StoredEvent]()

    @rest.fallback
    async def fall_back(ctx: Context, stored: StoredEvent) -> None:
        assert ctx.metadata is stored.metadata
        fallen.append(stored)

    async with shop.backbone() as backbone:
        await run_to_the_end(backbone.subscribe(rest, uri=URI, group="rest", max_events=1))
    assert [(each.payload, each.metadata.missing) for each in fallen] == [("partial", ("email", "name"))]


async def test_a_stored_event_says_what_is_missing_and_why() -> None:
    """Its arguments are those that are there; decoded, they are as a handler gets them."""
    shop = Shop()
    (key,) = await shop.place(1)
    await shop.erase(key)
    async with shop.backbone() as backbone:
        stored = await backbone.reader(URI).get(key)
    assert (stored.payload, stored.arguments, stored.missing_parts) == (
        "partial",
        {"order_id": 1},
        {"personal": "erased"},
    )
    document = stored.json()
    assert (document["payload"], document["arguments"]) == ("partial", {"order_id": 1})
    assert document["missing_parts"] == {"personal": "erased"}
    typed = stored.as_(Orders.order_placed)
    assert typed.arguments == {"order_id": 1, "email": None, "name": "somebody"}
    assert typed.metadata.missing == stored.decode(Orders).missing == ("email", "name")
    assert (stored.metadata.missing, typed.metadata.event_id) == ((), stored.metadata.event_id)
    with pytest.raises(PayloadErased):
        stored.decode(OldOrders)


async def test_an_event_that_cannot_do_without_an_erased_part_is_skipped(counted: CountedMetrics) -> None:
    """As one that was erased whole."""
    shop, strict = Shop(), Consumer(OldOrders)
    (key,) = await shop.place(1)
    await shop.erase(key)

    @strict.on(OldOrders.order_placed)
    async def order_placed(ctx: Context, order_id: int, email: str) -> None:
        raise AssertionError

    async with shop.backbone_without_split() as backbone:
        await deliver(backbone, strict, 1)
        assert [each async for each in backbone.dead_letters(URI, GROUP).list()] == []
    assert counted.count("event_backbone.skipped", reason="erased", uri=URI, group=GROUP) == 1


async def test_a_program_may_do_without_a_part_on_purpose(counted: CountedMetrics) -> None:
    """``Part(name, optional=True)``: its arguments are missing, and it can neither send nor erase them."""
    shop, mailer = Shop(), Mailer()
    (key,) = await shop.place(1)
    async with shop.backbone(Part("personal", optional=True)) as backbone:
        await backbone.check()
        await deliver(backbone, mailer.consumer, 1)
        assert mailer.seen == [(1, None, "somebody", ("email", "name"))]
        stored = await backbone.reader(URI).get(key)
        assert (stored.payload, stored.missing_parts) == ("partial", {"personal": "not-given"})
        assert backbone.location(stored)[1] == "storage 'personal', which this program was not given"
        for part in (None, "personal"):
            with pytest.raises(StorageMissing, match="'personal'"):
                await backbone.erase(URI, key, part=part)
        with pytest.raises(
            ConfigurationError, match="was not given storage 'personal', so it cannot send event 'order"
        ):
            await backbone.producer(Orders, uri=URI).order_placed(2, "bob@example.com")
    assert counted.count("event_backbone.partial", reason="not-given", group=GROUP) == 1
    async with shop.backbone() as backbone:
        assert [each.payload async for each in backbone.reader(URI).scan()] == ["present"]


async def test_a_part_that_a_program_needs_and_was_not_given_is_waited_for() -> None:
    """``Part(name)`` without ``optional=True``: another program has to read it."""
    shop = Shop()
    (key,) = await shop.place(1)
    async with shop.backbone(Part("personal")) as backbone:
        with pytest.raises(StorageMissing, match="'personal'"):
            await backbone.reader(URI).get(key)


async def test_a_part_that_an_event_does_not_have_cannot_be_erased() -> None:
    """The error names those that it has."""
    shop = Shop()
    (key,) = await shop.place(1)
    async with shop.backbone() as backbone:
        with pytest.raises(EventNotFound, match="has no part in storage 's3'; its payload is in 'rest' and 'personal'"):
            await backbone.erase(URI, key, part="s3")
        assert (await backbone.reader(URI).get(key)).payload == "present"
        await backbone.erase(URI, key)
        assert (await backbone.reader(URI).get(key)).payload == "erased"
