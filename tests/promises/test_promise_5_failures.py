"""Promise 5: a failure becomes a decision, and other events go on."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Retry
from event_backbone.policy import RetryPolicy
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())


async def test_promise_5_after_its_last_attempt_an_event_is_a_dead_letter_and_others_go_on(backbone: Backbone) -> None:
    """The others are handled; the dead letter says why it is one."""
    consumer, handled = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 2:
            raise ZeroDivisionError
        handled.append(number)

    await pack(backbone, 1, 2, 3)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=3, retry=AT_ONCE))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert sorted(handled) == [1, 3]
    assert (letter.reason, letter.error, letter.attempts) == ("attempts-exhausted", "ZeroDivisionError", 3)
    assert letter.metadata is not None
    assert letter.metadata.event == "packed"


async def test_promise_5_a_failed_event_waits_at_the_server_and_any_member_begins_it(backbone: Backbone) -> None:
    """While it waits no member has it, others are handled, and another member makes the next attempt."""
    consumer, other, passed = Consumer(Parcels), Remembering(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 2:
            passed.set()
        elif ctx.attempt == 1:
            raise Retry(after=timedelta(seconds=1))

    await pack(backbone, 1, 2)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1)) as subscription:
        await passed.wait()
        await eventually(lambda: subscription.in_flight == 0)
        (state,) = await backbone.groups(URI)
        assert (state.parked, state.pending) == (1, 1)
    async with stopped_within(backbone.subscribe(other.consumer, uri=URI, group=GROUP)):
        await eventually(lambda: (other.numbers, other.attempts) == ([1], [2]))


@pytest.mark.parametrize("failures", [1, 300])
async def test_promise_5_a_short_backoff_is_kept_exactly(backbone: Backbone, failures: int) -> None:
    """The member that parked an event looks again when it is due, not only when it would have looked anyway."""
    consumer, waited = Consumer(Parcels), list[float]()
    failed_at: dict[int, float] = {}

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        now = asyncio.get_running_loop().time()
        if ctx.attempt == 1:
            failed_at[number] = now
            raise OSError
        waited.append(now - failed_at[number])

    await pack(backbone, *range(failures))
    retry = RetryPolicy(backoff=timedelta(milliseconds=50))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=failures, retry=retry))
    assert min(waited) >= 0.049  # due times are whole milliseconds
    assert sum(waited) / len(waited) < 0.9


async def test_promise_5_at_the_bound_of_parked_events_reading_ends(backbone: Backbone) -> None:
    """What fails for a long time fills neither the server nor the memory, and ``ready`` says so."""
    consumer, failed, release = Consumer(Parcels), set[int](), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if not release.is_set():
            failed.add(number)
            raise Retry(after=timedelta(milliseconds=500))

    await pack(backbone, *range(100))
    async with stopped_within(
        backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=2, prefetch=4, max_parked=10, max_waiting=5)
    ) as subscription:
        await eventually(lambda: not subscription.ready)
        (state,) = await backbone.groups(URI)
        assert state.parked <= 10
        assert len(failed) < 50
        release.set()
        await eventually(lambda: subscription.handled == 100)
        await eventually(lambda: subscription.ready)
