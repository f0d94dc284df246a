"""How a subscription ends: stopped from outside, by its own handler, or by an error."""

import asyncio

import pytest

from event_backbone import Backbone, Consumer, Context
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within


async def test_a_handler_may_stop_its_own_subscription(backbone: Backbone) -> None:
    """Its event is still acked."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        subscription.stop()

    await pack(backbone, 1)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP)
    await run_to_the_end(subscription)
    assert subscription.handled == 1


async def test_cancelling_the_wait_does_not_stop_the_subscription(backbone: Backbone) -> None:
    """Somebody else may still be waiting."""
    remembering = Remembering()
    subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        waiting = asyncio.create_task(subscription.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await pack(backbone, 1)
        await remembering.running.wait()
        assert subscription.alive


async def test_leaving_by_an_error_stops_the_subscription_and_lets_the_error_pass(backbone: Backbone) -> None:
    """The block's own error counts."""
    subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
    with pytest.raises(LookupError):
        async with stopped_within(subscription):
            raise LookupError
    assert not subscription.alive


async def test_rapid_starts_and_stops_leave_nothing_behind(backbone: Backbone) -> None:
    """No consumer, no task, but the one that the backbone has for each stream."""
    tasks = 0
    for _ in range(30):
        async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)):
            pass
        tasks = tasks or len(asyncio.all_tasks())
    (state,) = await backbone.groups(URI)
    assert (state.consumers, len(asyncio.all_tasks())) == (0, tasks)
