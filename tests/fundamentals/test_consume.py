"""The main path of a consumer: events come in, handlers run, acks go out."""

import asyncio
import logging
from datetime import timedelta

import pytest

from event_backbone import Backbone, ConfigurationError, Consumer, Context, EventKey, Metadata, RetryPolicy, StoredEvent
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, Stuck, pack, run_to_the_end, stopped_within


async def test_every_event_reaches_its_handler_once_with_its_arguments(backbone: Backbone) -> None:
    """Produced before the group existed, and after."""
    remembering = Remembering()
    await pack(backbone, 1, 2)
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        await pack(backbone, 3)
        await eventually(lambda: len(remembering.numbers) == 3)
    assert sorted(remembering.numbers) == [1, 2, 3]
    assert set(remembering.attempts) == {1}


async def test_handled_events_are_acked(backbone: Backbone) -> None:
    """Nothing is left pending, and a later consumer of the group gets nothing."""
    await pack(backbone, *range(50))
    await run_to_the_end(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, max_events=50))
    assert not await backbone.pending(URI, GROUP)
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.unread, state.consumers) == (0, 0, 0)


async def test_with_one_at_a_time_events_come_in_the_order_of_the_stream(backbone: Backbone) -> None:
    """Concurrency 1 keeps the order."""
    remembering = Remembering()
    await pack(backbone, *range(300))
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, concurrency=1, max_events=300))
    assert remembering.numbers == list(range(300))


async def test_as_many_handlers_run_at_once_as_concurrency_allows(backbone: Backbone) -> None:
    """The bound is reached, and never exceeded."""
    consumer, running, most = Consumer(Parcels), 0, 0
    full = asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        running -= 1

    await pack(backbone, *range(40))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=4, max_events=40))
    assert most == 4


async def test_every_group_gets_every_event_and_members_share_them(backbone: Backbone) -> None:
    """Two groups, one of them with two subscriptions."""
    alone, first, second = Remembering(), Remembering(), Remembering()
    await pack(backbone, *range(60))
    async with (
        stopped_within(backbone.subscribe(alone.consumer, uri=URI, group="alone")),
        stopped_within(backbone.subscribe(first.consumer, uri=URI, group="shared")),
        stopped_within(backbone.subscribe(second.consumer, uri=URI, group="shared")),
    ):
        await eventually(lambda: len(alone.numbers) == 60)
        await eventually(lambda: len(first.numbers) + len(second.numbers) == 60)
    assert sorted(alone.numbers) == list(range(60))
    assert sorted(first.numbers + second.numbers) == list(range(60))


async def test_max_events_ends_the_subscription_and_leaves_the_rest_unread(backbone: Backbone) -> None:
    """Not one more is taken from the stream."""
    remembering = Remembering()
    await pack(backbone, *range(10))
    subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=3)
    await run_to_the_end(subscription)
    assert (len(remembering.numbers), subscription.handled) == (3, 3)
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.unread) == (0, 7)


async def test_a_new_group_may_start_now(backbone: Backbone) -> None:
    """It does not get earlier events."""
    remembering = Remembering()
    await pack(backbone, 1, 2)
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, start="now")):
        await pack(backbone, 3)
        await remembering.running.wait()
    assert remembering.numbers == [3]


async def test_a_new_group_may_start_at_a_key(backbone: Backbone) -> None:
    """The event of that key is the first."""
    remembering = Remembering()
    producer = backbone.producer(Parcels, uri=URI)
    keys: list[EventKey] = [await producer.packed(number) for number in range(5)]
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, start=keys[3], max_events=2))
    assert sorted(remembering.numbers) == [3, 4]


async def test_start_has_no_effect_on_a_group_that_exists(backbone: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    """It continues where it stopped, and a log line says so; not at every restart that leaves ``start`` alone."""
    caplog.set_level(logging.INFO, "event_backbone")
    remembering = Remembering()
    await pack(backbone, 1, 2, 3)
    for start in ("beginning", "beginning", "now"):
        assert "no effect" not in caplog.text
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1, start=start)
        await run_to_the_end(subscription)
    assert sorted(remembering.numbers) == [1, 2, 3]
    assert caplog.text.count(f"Group {GROUP} of test:{URI} exists already, so start=now has no effect.") == 1


async def test_both_handlers_of_one_event_run_at_the_same_time(backbone: Backbone) -> None:
    """Each waits for the other here, so running one after the other would never end."""
    consumer, meeting = Consumer(Parcels), asyncio.Barrier(2)
    met: list[str] = []

    @consumer.on(Parcels.packed)
    async def first(ctx: Context, number: int) -> None:
        await meeting.wait()
        met.append("first")

    @consumer.on(Parcels.packed)
    async def second(ctx: Context, number: int) -> None:
        await meeting.wait()
        met.append("second")

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert sorted(met) == ["first", "second"]


async def test_when_one_of_two_handlers_fails_both_run_again(backbone: Backbone) -> None:
    """Nothing remembers which one had succeeded."""
    consumer, steady = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def fine(ctx: Context, number: int) -> None:
        steady.append(ctx.attempt)

    @consumer.on(Parcels.packed)
    async def failing(ctx: Context, number: int) -> None:
        if ctx.attempt == 1:
            raise OSError

    await pack(backbone, 1)
    retry = RetryPolicy(backoff=timedelta())
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    assert steady == [1, 2]


async def test_a_fallback_gets_the_events_that_have_no_handler(backbone: Backbone) -> None:
    """As they are stored, with their arguments as JSON values."""
    remembering = Remembering()
    rest: list[tuple[str, object]] = []

    @remembering.consumer.fallback
    async def fallback(ctx: Context, event: StoredEvent) -> None:
        rest.append((event.metadata.event, event.arguments["number"]))

    await backbone.producer(Parcels, uri=URI).sent(7, "a@b.c")
    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    assert (remembering.numbers, rest) == ([1], [("sent", 7)])


async def test_what_a_handler_produces_is_known_to_be_caused_by_its_event(backbone: Backbone) -> None:
    """The correlation id goes on, the causation id is the event's id."""
    consumer, seen = Consumer(Parcels), list[Metadata]()

    @consumer.on(Parcels.packed)
    async def pass_on(ctx: Context, number: int) -> None:
        seen.append(ctx.metadata)
        await backbone.producer(Parcels, uri="others").sent(number, "a@b.c")

    producer = backbone.producer(Parcels, uri=URI)
    await producer.packed.using(correlation_id="order-7")(1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    found = [event async for event in backbone.reader("others").scan()]
    assert found[0].metadata.correlation_id == "order-7"
    assert found[0].metadata.causation_id == str(seen[0].event_id)


async def test_subscriptions_of_several_uris_in_one_process_do_not_disturb_each_other(backbone: Backbone) -> None:
    """One is stuck in its handler, the other goes on."""
    stuck, free = Stuck(), Remembering()
    await backbone.producer(Parcels, uri="slow").packed(1)
    await pack(backbone, *range(20))
    async with stopped_within(backbone.subscribe(stuck.consumer, uri="slow", group=GROUP)):
        await stuck.running.wait()
        await run_to_the_end(backbone.subscribe(free.consumer, uri=URI, group=GROUP, max_events=20))
        stuck.release.set()
    assert len(free.numbers) == 20


async def test_a_subscription_runs_once(backbone: Backbone) -> None:
    """A second run needs a new one."""
    subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        pass
    with pytest.raises(ConfigurationError, match="runs once"):
        async with subscription:
            pass


async def test_waiting_for_a_subscription_that_was_not_entered_is_refused(backbone: Backbone) -> None:
    """It would wait forever."""
    with pytest.raises(ConfigurationError, match="async with"):
        await backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP).wait()


async def test_health_shows_at_work_and_stopped(backbone: Backbone) -> None:
    """Alive and ready while it runs, neither afterwards."""
    subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
    assert (subscription.alive, subscription.ready) == (False, False)
    async with stopped_within(subscription):
        await eventually(lambda: subscription.ready)
        assert subscription.alive
    assert (subscription.alive, subscription.ready) == (False, False)
