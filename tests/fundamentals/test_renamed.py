"""An event that was renamed: what was stored under its earlier name reaches handlers and readers of the new one."""

from pydantic import JsonValue

from event_backbone import Backbone, Consumer, Context, Contract, event
from tests.support.shipment import URI


class Before(Contract):
    """The contract of a producer that was never updated."""

    @event
    def sent(self, to: str) -> None:
        """A parcel was sent."""


class After(Contract):
    """Today's contract."""

    @event(version=2)
    def shipped(self, to: str, express: bool) -> None:
        """A parcel was shipped."""


@After.shipped.upcast(from_name="sent", from_version=1)
def sent_became_shipped(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Only the name changed."""
    return arguments


@After.shipped.upcast(from_version=1)
def nothing_was_express(arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Version 2 distinguishes."""
    return {**arguments, "express": False}


async def test_the_earlier_name_reaches_handlers_and_readers(backbone: Backbone) -> None:
    """Handlers get the arguments of today, metadata says what was stored, and a filter by today's event finds both."""
    consumer, handled = Consumer(After), list[tuple[str, int, str, bool]]()

    @consumer.on(After.shipped)
    async def shipped(ctx: Context, to: str, express: bool) -> None:
        handled.append((ctx.metadata.event, ctx.metadata.version, to, express))

    await backbone.producer(Before, uri=URI).sent("ada")
    await backbone.producer(After, uri=URI).shipped("bob", express=True)
    async with backbone.subscribe(consumer, uri=URI, group="main", concurrency=1) as subscription:
        await subscription.until_idle()
    assert handled == [("sent", 1, "ada", False), ("shipped", 2, "bob", True)]
    found = [each.as_(After.shipped) async for each in backbone.reader(URI).scan(events=[After.shipped])]
    assert [each.arguments for each in found] == [{"to": "ada", "express": False}, {"to": "bob", "express": True}]
