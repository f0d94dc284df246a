"""What consumers of the system before this one could rely on, by the numbers of its acceptance list."""

import asyncio
from collections import Counter
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.errors import Retry
from event_backbone.policy import RetryPolicy
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

AT_ONCE = RetryPolicy(backoff=timedelta())


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


class Shop(Paying):
    """Adds another one."""

    @event
    def returned(self, number: int) -> None:
        """Somebody sent it back."""


def counting_targets(calls: Counter[tuple[str, int]], *names: str) -> Consumer[Parcels]:
    """Return a consumer with a handler for each name, which counts its calls."""
    consumer = Consumer(Parcels)

    def add(name: str) -> None:
        @consumer.on(Parcels.packed)
        async def handle(ctx: Context, number: int) -> None:
            calls[name, number] += 1

    for name in names:
        add(name)
    return consumer


async def test_item_3_every_target_of_a_subscription_receives_every_event(backbone: Backbone) -> None:
    """Item 3, and the first half of item 22."""
    calls: Counter[tuple[str, int]] = Counter()
    consumer = counting_targets(calls, "a", "b", "c")
    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    assert calls == {(name, number): 1 for name in "abc" for number in (1, 2)}


async def test_item_4_several_subscribers_with_several_targets_each(backbone: Backbone) -> None:
    """Items 4 and 22: each group gets every event once, for all of its targets."""
    calls: Counter[tuple[str, int]] = Counter()
    first, second = counting_targets(calls, "a", "b"), counting_targets(calls, "c", "d", "e")
    await pack(backbone, *range(5))
    await asyncio.gather(
        run_to_the_end(backbone.subscribe(first, uri=URI, group="first", max_events=5)),
        run_to_the_end(backbone.subscribe(second, uri=URI, group="second", max_events=5)),
    )
    assert calls == {(name, number): 1 for name in "abcde" for number in range(5)}


async def test_item_19_a_handler_ends_its_own_subscription(backbone: Backbone) -> None:
    """Item 19."""
    consumer, handled = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(number)
        subscription.stop()

    await pack(backbone, 1, 2)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1)
    await run_to_the_end(subscription)
    assert handled == [1]


async def test_item_20_a_limit_of_two_events(backbone: Backbone) -> None:
    """Item 20."""
    remembering = Remembering()
    await pack(backbone, 1, 2, 3)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group="mine", max_events=2))
    assert sorted(remembering.numbers) == [1, 2]


async def test_item_21_one_environment_exchanges_and_another_sees_nothing(redis_url: str) -> None:
    """Item 21."""
    seen, other = Remembering(), Remembering()
    async with Backbone(redis_url, environment="Production") as prod, Backbone(redis_url, environment="dev") as dev:
        await pack(prod, 1, 2, 3)
        async with stopped_within(dev.subscribe(other.consumer, uri=URI, group=GROUP)):
            await run_to_the_end(prod.subscribe(seen.consumer, uri=URI, group=GROUP, max_events=3))
    assert (sorted(seen.numbers), other.numbers) == ([1, 2, 3], [])


async def test_item_23_a_partial_consumer_passes_what_it_does_not_handle(backbone: Backbone) -> None:
    """Item 23: it is acked and counted, and blocks nothing."""
    remembering = Remembering()
    await backbone.producer(Parcels, uri=URI).sent(0, "a@b.c")
    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    (state,) = await backbone.groups(URI)
    assert (remembering.numbers, state.pending, state.dead_letters) == ([1], 0, 0)


async def test_item_24_consumers_of_inherited_contracts_see_their_part(backbone: Backbone) -> None:
    """Item 24: each in its own group."""
    seen: list[tuple[str, str]] = []
    all_events, paying = Consumer(Shop), Consumer(Paying)

    @all_events.on(Shop.ordered)
    async def ordered(ctx: Context, number: int) -> None:
        seen.append(("shop", "ordered"))

    @all_events.on(Shop.paid)
    async def paid(ctx: Context, number: int) -> None:
        seen.append(("shop", "paid"))

    @all_events.on(Shop.returned)
    async def returned(ctx: Context, number: int) -> None:
        seen.append(("shop", "returned"))

    @paying.on(Paying.paid)
    async def only_paid(ctx: Context, number: int) -> None:
        seen.append(("paying", "paid"))

    producer = backbone.producer(Shop, uri=URI)
    await producer.ordered(1)
    await producer.paid(1)
    await run_to_the_end(backbone.subscribe(paying, uri=URI, group="paying", max_events=2))
    await producer.returned(1)
    await run_to_the_end(backbone.subscribe(all_events, uri=URI, group="shop", max_events=3))
    assert sorted(seen) == [("paying", "paid"), ("shop", "ordered"), ("shop", "paid"), ("shop", "returned")]


async def test_item_29_on_success_a_failing_event_comes_again_and_others_come_once(backbone: Backbone) -> None:
    """Item 29: four failures, then success."""
    consumer = Consumer(Parcels)
    calls: Counter[int] = Counter()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        calls[number] += 1
        if number == 2 and ctx.attempt < 5:
            raise OSError

    await pack(backbone, 1, 2, 3)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=3, retry=AT_ONCE))
    assert calls == {1: 1, 2: 5, 3: 1}


async def test_item_30_under_always_a_failed_event_does_not_come_again(backbone: Backbone) -> None:
    """Item 30: and the next ones go on."""
    consumer = Consumer(Parcels)
    calls: Counter[int] = Counter()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        calls[number] += 1
        if number == 1:
            raise OSError

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, ack="always"))
    assert calls == {1: 1, 2: 1}


async def test_item_31_under_manual_a_failed_event_comes_again_until_it_is_acked(backbone: Backbone) -> None:
    """Item 31."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise OSError
        await ctx.ack()

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, ack="manual", retry=AT_ONCE))
    assert attempts == [1, 2, 3]


async def test_item_32_a_retried_event_counts_once_towards_the_limit(backbone: Backbone) -> None:
    """Item 32."""
    consumer, handled = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 1 and ctx.attempt == 1:
            raise Retry(after=timedelta())
        handled.append(number)

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    assert sorted(handled) == [1, 2]


async def test_item_33_streams_of_several_names_are_received_separately(redis_url: str) -> None:
    """Item 33: six streams, of two environments and three URIs."""
    received: dict[tuple[str, str], list[int]] = {}
    names = [(environment, uri) for environment in ("dev", "prod") for uri in ("a", "a/b", "b")]

    async def receive(backbone: Backbone, environment: str, uri: str) -> None:
        remembering = Remembering()
        await run_to_the_end(backbone.subscribe(remembering.consumer, uri=uri, group=GROUP, max_events=1))
        received[environment, uri] = remembering.numbers

    async with Backbone(redis_url, environment="dev") as dev, Backbone(redis_url, environment="prod") as prod:
        of = {"dev": dev, "prod": prod}
        for number, (environment, uri) in enumerate(names):
            await of[environment].producer(Parcels, uri=uri).packed(number)
        await asyncio.gather(*(receive(of[environment], environment, uri) for environment, uri in names))
    assert received == {name: [number] for number, name in enumerate(names)}


async def test_item_34_a_second_consumer_claims_what_a_faulty_one_left(backbone: Backbone) -> None:
    """Item 34: and completes everything."""
    stuck, begun = Consumer(Parcels), list[int]()

    @stuck.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        begun.append(number)
        await asyncio.Event().wait()

    await pack(backbone, *range(5))
    lease = timedelta(milliseconds=200)
    subscription = backbone.subscribe(stuck, uri=URI, group=GROUP, concurrency=5, drain=timedelta())
    async with stopped_within(subscription):
        await eventually(lambda: len(begun) == 5)
    heir = Remembering()
    await run_to_the_end(backbone.subscribe(heir.consumer, uri=URI, group=GROUP, lease=lease, max_events=5))
    assert (sorted(heir.numbers), set(heir.attempts)) == ([0, 1, 2, 3, 4], {1})
