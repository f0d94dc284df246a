"""Versions of events, by the numbers of the acceptance list."""

import pytest
from pydantic import JsonValue

from event_backbone import Backbone, Consumer, Context, Contract, StoredEvent, event
from tests.support.shipment import URI, consume


class Old(Contract):
    """The contract of a producer that was never updated."""

    @event
    def init(self, text: str) -> None:
        """Version 1 of an idea."""

    @event
    def dropped(self, text: str) -> None:
        """Nobody handles it any more."""

    @event
    def closed(self) -> None:
        """Version 1 of an end, without an upcaster to version 2."""


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
    """Upcast version 1 to version 2."""
    return {"title": "untitled", **arguments}


async def test_items_7_and_37_older_events_reach_the_newer_handler(backbone: Backbone) -> None:
    """By an upcaster; a version without one goes to the fallback; handlers of other events are not called."""
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
    """A contract that extends another one."""

    @event(version=2)
    def closed(self, reason: str) -> None:
        """The idea was dropped."""


@pytest.mark.parametrize(
    ("with_fallback", "passed", "reasons"),
    [(True, [("closed", 1)], []), (False, [], ["unknown-version"])],
    ids=["fallback", "plain"],
)
async def test_items_8_and_37_a_derived_contract_takes_over_its_base(
    backbone: Backbone, with_fallback: bool, passed: list[tuple[str, int]], reasons: list[str]
) -> None:
    """Its consumer handles events of the base, upcasters included, and its own.

    A version that it no longer takes goes to the fallback, without one to the dead letters.
    """
    consumer = Consumer(Derived)
    seen, rest = list[str](), list[tuple[str, int]]()

    @consumer.on(Derived.idea)
    async def idea(ctx: Context, title: str, text: str) -> None:
        seen.append(f"{title}: {text}")

    @consumer.on(Derived.closed)
    async def closed(ctx: Context, reason: str) -> None:
        seen.append(reason)

    async def remember(ctx: Context, event: StoredEvent) -> None:
        rest.append((event.metadata.event, event.metadata.version))

    if with_fallback:
        consumer.fallback(remember)
    old = backbone.producer(Old, uri=URI)
    await old.init("v1")
    await old.closed()
    await backbone.producer(Derived, uri=URI).closed("too late")
    await consume(backbone, consumer, 3)
    letters = [each async for each in backbone.dead_letters(URI, "g").list()]
    assert (sorted(seen), rest) == (["too late", "untitled: v1"], passed)
    assert [each.reason for each in letters] == reasons
