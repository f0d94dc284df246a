"""Consumers of a part of a stream's events, by the numbers of the acceptance list."""

import asyncio
from collections import Counter
from typing import Literal

import pytest

from event_backbone import Backbone, Consumer, Context, Contract, StoredEvent, event
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within


class Ordering(Contract):
    """A base contract."""

    @event
    def ordered(self, number: int) -> None:
        """Somebody ordered."""


class Paying(Ordering):
    """Adds an event."""

    @event
    def paid(self, number: int) -> None:
        """Somebody paid."""


class LaterPaying(Contract):
    """The same event, as a later release has it."""

    @event(version=2)
    def paid(self, number: int) -> None:
        """Somebody paid."""


class Shop(Paying):
    """Adds another one."""

    @event
    def returned(self, number: int) -> None:
        """Somebody sent it back."""


class Everything:
    """Handles every event of the shop by remembering its name and number."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.consumer = Consumer(Shop)
        for each in (Shop.ordered, Shop.paid, Shop.returned):
            self.consumer.on(each)(self.handle)

    async def handle(self, ctx: Context, number: int) -> None:
        """Remember."""
        self.seen.append((ctx.metadata.event, number))


async def one_of_each(backbone: Backbone, number: int) -> None:
    """Produce the three events of the shop."""
    producer = backbone.producer(Shop, uri=URI)
    await producer.ordered(number)
    await producer.paid(number)
    await producer.returned(number)


async def test_item_23_a_partial_consumer_passes_what_it_does_not_handle(backbone: Backbone) -> None:
    """Item 23: it is acked and counted, and blocks nothing."""
    remembering, metrics = Remembering(), CountedMetrics()
    await backbone.producer(Parcels, uri=URI).sent(0, "a@b.c")
    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    (state,) = await backbone.groups(URI)
    assert (remembering.numbers, state.pending, state.dead_letters) == ([1], 0, 0)
    assert metrics.count("event_backbone.unhandled", uri=URI, group=GROUP, event="sent") == 1


@pytest.mark.parametrize(
    ("with_fallback", "unknown", "rest", "dead"),
    [
        (True, "dead-letter", ["ordered", "ordered", "returned", "returned"], []),
        (False, "skip", [], []),
        (False, "dead-letter", [], ["returned", "returned"]),
    ],
    ids=["fallback", "skip", "dead-letter"],
)
async def test_item_24_a_consumer_of_a_sub_contract_sees_its_part(
    backbone: Backbone, with_fallback: bool, unknown: Literal["skip", "dead-letter"], rest: list[str], dead: list[str]
) -> None:
    """Item 24: other events come before it and while it runs; those its contract lacks are skipped, unless asked."""
    paying, paid, passed = Consumer(Paying), list[int](), list[str]()

    @paying.on(Paying.paid)
    async def only_paid(ctx: Context, number: int) -> None:
        paid.append(number)

    async def remember(ctx: Context, event: StoredEvent) -> None:
        passed.append(event.metadata.event)

    if with_fallback:
        paying.fallback(remember)
    await one_of_each(backbone, 1)
    metrics, subscription = CountedMetrics(), backbone.subscribe(paying, uri=URI, group="paying", unknown=unknown)
    async with stopped_within(subscription):
        await eventually(lambda: subscription.handled == 3)
        await one_of_each(backbone, 2)
        await eventually(lambda: subscription.handled == 6)
    letters = [each.metadata async for each in backbone.dead_letters(URI, "paying").list()]
    assert (paid, sorted(passed)) == ([1, 2], rest)
    assert [each.event for each in letters if each is not None] == dead
    skipped = metrics.count("event_backbone.skipped", group="paying", reason="unknown-event")
    assert skipped == (2 if not with_fallback and unknown == "skip" else 0)


async def test_item_24_an_unknown_version_is_no_part_that_a_consumer_may_skip(backbone: Backbone) -> None:
    """Item 24: the event is the consumer's own, so it goes to the dead letters."""
    await backbone.producer(LaterPaying, uri=URI).paid(1)
    await run_to_the_end(backbone.subscribe(Consumer(Paying), uri=URI, group="paying", max_events=1))
    (letter,) = [each async for each in backbone.dead_letters(URI, "paying").list()]
    assert letter.reason == "unknown-version"


async def test_item_24_another_group_sees_everything(backbone: Backbone) -> None:
    """Item 24: the consumer of the whole contract still gets what the consumer of a part has left out."""
    paying, everything, paid = Consumer(Paying), Everything(), list[int]()

    @paying.on(Paying.paid)
    async def only_paid(ctx: Context, number: int) -> None:
        paid.append(number)

    await one_of_each(backbone, 1)
    await run_to_the_end(backbone.subscribe(paying, uri=URI, group="paying", max_events=3))
    await run_to_the_end(backbone.subscribe(everything.consumer, uri=URI, group="shop", max_events=3))
    assert paid == [1]
    assert sorted(everything.seen) == [("ordered", 1), ("paid", 1), ("returned", 1)]


async def test_item_24_three_consumers_of_one_group_share_the_work(backbone: Backbone) -> None:
    """Item 24: each event is handled once, by one of the three, and each of them has its share."""
    calls: Counter[tuple[str, int]] = Counter()
    begun, all_have_begun = set[int](), asyncio.Event()

    def member(name: int) -> Consumer[Shop]:
        consumer = Consumer(Shop)

        async def handle(ctx: Context, number: int) -> None:
            calls[ctx.metadata.event, number] += 1
            begun.add(name)
            if len(begun) == 3:
                all_have_begun.set()
            await all_have_begun.wait()

        for each in (Shop.ordered, Shop.paid, Shop.returned):
            consumer.on(each)(handle)
        return consumer

    for number in range(5):
        await one_of_each(backbone, number)
    first, second, third = (
        backbone.subscribe(member(name), uri=URI, group=GROUP, concurrency=1, prefetch=1) for name in range(3)
    )
    async with stopped_within(first), stopped_within(second), stopped_within(third):
        await eventually(lambda: first.handled + second.handled + third.handled == 15)
    assert calls == {(name, number): 1 for name in ("ordered", "paid", "returned") for number in range(5)}
