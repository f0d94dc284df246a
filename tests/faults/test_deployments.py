"""An event that outlives every deployment: cancelled by each stop at the end of its drain, it is not a crash."""

import asyncio
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, pack, stopped_within


async def test_events_cancelled_by_stops_are_given_back_and_never_taken_for_poison(backbone: Backbone) -> None:
    """Each next consumer gets it at once, not after the lease, beside others, and when it succeeds it is finished."""
    consumer, attempts, running = Consumer(Parcels), list[int](), asyncio.Event()
    counted, stops = CountedMetrics(), 7

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        running.set()
        if len(attempts) <= stops:
            await asyncio.Event().wait()

    await pack(backbone, 1)
    retry, no_time = RetryPolicy(max_attempts=3), timedelta(0)
    for _ in range(stops):
        running.clear()
        async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry, drain=no_time)):
            await running.wait()
        (state,) = await backbone.groups(URI)
        assert (state.consumers, state.pending) == (0, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry)) as subscription:
        await eventually(lambda: subscription.handled == 1)
    assert attempts == [1] * (stops + 1)
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []
    assert counted.count("event_backbone.poison_suspected") == 0
