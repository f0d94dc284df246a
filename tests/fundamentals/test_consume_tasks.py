"""Promise 5, on what handlers do to their tasks: each event has one of its own, and its end concerns nobody else."""

import asyncio
import threading
import time
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

ONCE = RetryPolicy(max_attempts=1)
_left_behind: ContextVar[int] = ContextVar("left_behind", default=0)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_promise_5_a_handler_that_cancels_its_own_task_costs_no_other_event(
    backbone: Backbone, concurrency: int
) -> None:
    """It has failed; 20 healthy events are handled after 5 of that kind."""
    consumer, handled = Consumer(Parcels), set[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        if number < 5:
            task.cancel()
            await asyncio.sleep(0)
        elif number < 10:
            task.cancel()
            with suppress(asyncio.CancelledError):  # its count, ``cancelling()``, is left over
                await asyncio.sleep(0)
        handled.add(number)

    await pack(backbone, *range(30))
    subscription = backbone.subscribe(
        consumer, uri=URI, group=GROUP, concurrency=concurrency, max_events=30, retry=ONCE
    )
    await run_to_the_end(subscription)
    letters = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert handled == set(range(5, 30))
    assert {letter.error for letter in letters} == {"CancelledError"}
    assert len(letters) == 5


async def test_promise_5_an_event_that_cancels_the_task_of_an_earlier_one_makes_that_fail(backbone: Backbone) -> None:
    """A usual pattern: the newest order supersedes the one under way, which is tried again."""
    consumer, running, attempts = Consumer(Parcels), dict[str, asyncio.Task[object]](), list[tuple[int, int]]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append((number, ctx.attempt))
        if number == 0 and ctx.attempt == 1:
            task = asyncio.current_task()
            assert task is not None
            running["task"] = task
            await asyncio.Event().wait()
        elif number == 1:
            running["task"].cancel()

    await pack(backbone, *range(20))
    retry = RetryPolicy(backoff=timedelta())
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=20, retry=retry))
    assert sorted(attempts) == [(0, 1), (0, 2), *((number, 1) for number in range(1, 20))]


async def test_context_variables_do_not_leak_into_the_next_event(backbone: Backbone) -> None:
    """Each event finds the context in which the subscription was made."""
    consumer, found = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        found.append(_left_behind.get())
        _left_behind.set(number + 1)
        await asyncio.sleep(0)

    await pack(backbone, *range(5))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1, max_events=5))
    assert found == [0] * 5


async def test_a_handler_is_no_part_of_what_brought_its_event(backbone: Backbone) -> None:
    """It begins in a turn of its own: else its time would count as loading, and its depth add to theirs."""
    consumer, around = Consumer(Parcels), set[str]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        around.update(frame.name for frame in traceback.extract_stack())

    await pack(backbone, *range(5))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=5))
    assert "handle" in around
    assert not around & {"load", "load_event_payloads", "pass_on", "read", "look"}


async def test_a_loop_of_the_subscription_that_is_ended_from_outside_ends_it_loudly(backbone: Backbone) -> None:
    """Such as by a library that cancels all tasks: never a subscription that looks alive and does nothing."""
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.ready)
        for task in asyncio.all_tasks():
            if task.get_name() == "event-backbone-acks":
                task.cancel()
        with pytest.raises(RuntimeError, match="ended from outside"):
            await subscription.wait()
        assert not subscription.alive


async def test_a_handler_that_swallows_its_cancellation_does_not_keep_a_stop_from_ending(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left behind and told; its event goes back, as its first attempt."""
    consumer, running, release = Consumer(Parcels), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        running.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    await pack(backbone, 1)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, drain=timedelta())
    async with stopped_within(subscription):
        await running.wait()
        began = time.monotonic()
        subscription.stop()
        await subscription.wait()
    assert time.monotonic() - began < 3
    assert subscription.left_behind == 1
    assert "did not end when they were cancelled" in caplog.text
    release.set()
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1))
    assert remembering.attempts == [1]


async def test_a_handler_that_blocks_the_event_loop_is_named_once(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """While it still blocks: nothing else of the process could say so."""
    consumer, release = Consumer(Parcels), threading.Event()

    @consumer.on(Parcels.packed)
    async def wait_in_vain(ctx: Context, number: int) -> None:
        deadline = time.monotonic() + 10
        while "wait_in_vain" not in caplog.text and time.monotonic() < deadline:
            release.wait(0.05)

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    (told,) = [record.getMessage() for record in caplog.records if "blocks the event loop" in record.getMessage()]
    assert "wait_in_vain" in told
