"""When an event is acked: early, manually, always, or too late."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, LeaseLost, RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, pack, run_to_the_end


async def test_an_early_ack_finishes_the_event_whatever_follows(backbone: Backbone) -> None:
    """The handler fails afterwards, and the event still does not come again."""
    consumer, attempts, pending = Consumer(Parcels), list[int](), list[object]()
    asked = asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        await ctx.ack()
        pending.extend(await backbone.pending(URI, GROUP))
        asked.set()
        raise OSError

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert (attempts, pending, asked.is_set()) == ([1], [], True)


async def test_under_manual_an_event_comes_again_until_it_is_acked(backbone: Backbone) -> None:
    """Returning without an ack uses up no attempt, so it never makes the event a dead letter."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 4:
            await ctx.ack()

    await pack(backbone, 1)
    retry = RetryPolicy(max_attempts=2, backoff=timedelta())
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, ack="manual", retry=retry))
    assert attempts == [1, 1, 1, 1]
    assert not [letter async for letter in backbone.dead_letters(URI, GROUP).list()]


async def test_under_always_an_event_is_acked_though_its_handler_failed(backbone: Backbone) -> None:
    """One attempt, whatever its outcome."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(number)
        raise OSError

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, ack="always", concurrency=1))
    assert attempts == [1, 2]
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.dead_letters) == (0, 0)


async def test_an_ack_after_the_lease_was_lost_is_refused(backbone: Backbone) -> None:
    """Somebody else has finished the event meanwhile."""
    consumer, errors = Consumer(Parcels), list[LeaseLost]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        await ctx.ack()
        ctx.acked = False
        with pytest.raises(LeaseLost) as raised:
            await ctx.ack()
        errors.append(raised.value)

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert len(errors) == 1
