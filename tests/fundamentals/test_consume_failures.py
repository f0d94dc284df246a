"""What becomes of an event whose handling fails: a later attempt, or the dead letters of its group."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, Reject, Retry, RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, pack, run_to_the_end

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())


async def test_a_failed_event_is_tried_again_and_acked_when_it_succeeds(backbone: Backbone) -> None:
    """The attempt number rises each time."""
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


async def test_a_handler_chooses_when_it_is_called_again(backbone: Backbone) -> None:
    """``Retry(after)`` overrides the policy's own delay, which would be a minute here."""
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


async def test_a_handler_that_awaits_something_cancelled_has_failed(backbone: Backbone) -> None:
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


async def test_a_handler_that_blocks_the_event_loop_is_named_once(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """While it still blocks: nothing else in the process could report it."""
    consumer, release = Consumer(Parcels), threading.Event()

    @consumer.on(Parcels.packed)
    async def wait_in_vain(ctx: Context, number: int) -> None:
        deadline = time.monotonic() + 10
        while "wait_in_vain" not in caplog.text and time.monotonic() < deadline:
            release.wait(0.05)

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    (message,) = [record.getMessage() for record in caplog.records if "blocked the event loop" in record.getMessage()]
    assert "wait_in_vain" in message
