"""What becomes of an event whose handling fails: again later, or the dead letters of its group."""

import asyncio
import logging
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Reject, Retry
from event_backbone.policy import RetryPolicy
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())


async def test_a_failed_event_is_tried_again_and_acked_when_it_succeeds(backbone: Backbone) -> None:
    """The attempt rises each time."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise OSError

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE))
    assert attempts == [1, 2, 3]
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.dead_letters) == (0, 0)


async def test_after_its_last_attempt_an_event_is_a_dead_letter_and_the_line_goes_on(backbone: Backbone) -> None:
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


async def test_a_rejected_event_is_a_dead_letter_at_once(backbone: Backbone) -> None:
    """With the handler's own words."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise Reject("no such customer")

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.reason, letter.detail, letter.attempts) == ("rejected", "no such customer", 1)


async def test_a_handler_chooses_itself_when_it_is_called_again(backbone: Backbone) -> None:
    """``Retry(after)`` goes before the policy's own delay, which would take a minute here."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            raise Retry(after=timedelta(milliseconds=10))

    await pack(backbone, 1)
    retry = RetryPolicy(backoff=timedelta(minutes=1))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    assert attempts == [1, 2]


async def test_promise_5_a_failed_event_waits_at_the_server_and_any_member_begins_it(backbone: Backbone) -> None:
    """While it waits it is in nobody's hands, others pass, and the next attempt is another member's."""
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
    assert min(waited) >= 0.05
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


async def test_a_handler_that_awaits_something_cancelled_has_failed_(backbone: Backbone) -> None:
    """It is tried again, as after any other failure."""
    consumer, handled = Consumer(Parcels), list[tuple[int, int]]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append((number, ctx.attempt))
        if ctx.attempt == 1:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, retry=AT_ONCE, concurrency=1))
    assert sorted(handled) == [(1, 1), (1, 2), (2, 1), (2, 2)]


async def test_of_several_failures_of_one_event_a_reject_decides(backbone: Backbone) -> None:
    """Trying again would not help it."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def failing(ctx: Context, number: int) -> None:
        raise OSError

    @consumer.on(Parcels.packed)
    async def rejecting(ctx: Context, number: int) -> None:
        raise Reject("never")

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert letter.reason == "rejected"


async def test_a_redriven_event_is_handled_as_if_for_the_first_time(backbone: Backbone) -> None:
    """By its own group only, and once."""
    consumer, attempts, healed = Consumer(Parcels), list[int](), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if not healed.is_set():
            raise Reject("ill")

    await pack(backbone, 1)
    letters = backbone.dead_letters(URI, GROUP)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (letter,) = [each async for each in letters.list()]
    healed.set()
    assert await letters.redrive(letter.id)
    assert not await letters.redrive(letter.id)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert attempts == [1, 1]
    assert not [each async for each in letters.list()]


async def test_dead_letters_are_listed_and_redriven_by_reason(backbone: Backbone) -> None:
    """A bounded list, oldest first; what fails again meanwhile is not redriven twice."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number % 2:
            raise Reject("odd")
        raise OSError

    retry = RetryPolicy(max_attempts=1)
    await pack(backbone, *range(6))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=6, retry=retry, concurrency=1))
    letters = backbone.dead_letters(URI, GROUP)
    assert [each.reason async for each in letters.list(limit=2)] == ["attempts-exhausted", "rejected"]
    assert len([each async for each in letters.list(reason="rejected")]) == 3
    redriven = await letters.redrive_all(reason="rejected")
    assert (redriven.events, redriven.not_found) == (3, ())
    assert [each.reason async for each in letters.list()] == ["attempts-exhausted"] * 3


async def test_promise_9_the_log_of_a_failure_holds_no_text_of_the_error(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """An error's text may quote the payload; its type and place are told."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.sent)
    async def handle(ctx: Context, number: int, email: str) -> None:
        raise ValueError(email)

    await backbone.producer(Parcels, uri=URI).sent(1, "secret@example.org")
    retry = RetryPolicy(max_attempts=1)
    with caplog.at_level(logging.DEBUG, logger="event_backbone"):
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert "ValueError" in caplog.text
    assert "secret@example.org" not in caplog.text + letter.detail + letter.error
