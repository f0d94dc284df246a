"""Promise 5: each event has its own task and context, whose end does not affect other events."""

import asyncio
import traceback
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, pack, run_to_the_end

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
    assert {letter.error for letter in letters} == {"asyncio.exceptions.CancelledError"}
    assert len(letters) == 5


async def test_promise_5_an_event_that_cancels_the_task_of_an_earlier_one_makes_that_fail(backbone: Backbone) -> None:
    """A common pattern: the newest order supersedes the one being handled, which is tried again."""
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


async def test_promise_5_context_variables_do_not_leak_into_the_next_event(backbone: Backbone) -> None:
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


async def test_promise_5_a_handler_runs_outside_what_loaded_its_event(backbone: Backbone) -> None:
    """It starts in a separate turn: otherwise its time would count as loading, and its stack would be deeper."""
    consumer, around = Consumer(Parcels), set[str]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        around.update(frame.name for frame in traceback.extract_stack())

    await pack(backbone, *range(5))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=5))
    assert "handle" in around
    assert not around & {"load", "load_event_payloads", "pass_on", "read", "look"}
