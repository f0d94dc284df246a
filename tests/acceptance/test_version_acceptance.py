"""Versions of events, as the system that this one succeeds had them; the numbers are those of its list."""

from pydantic import JsonValue

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from tests.support.shipment import URI, consume


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
    await consume(backbone, consumer, 3)
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
    await consume(backbone, consumer, 2)
    assert sorted(seen) == ["too late", "untitled: v1"]
