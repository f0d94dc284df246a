"""Promise 3: the ack comes after the handler."""

import asyncio
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.stream.base import Streams
from tests.support.crashes import crash
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

SHORT = timedelta(milliseconds=200)


async def test_promise_3_the_ack_comes_after_the_handler(backbone: Backbone) -> None:
    """While it runs the event is pending."""
    consumer, pending = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        (state,) = await backbone.groups(URI)
        pending.append(state.pending)

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (state,) = await backbone.groups(URI)
    assert (pending, state.pending) == ([1], 0)


async def test_promise_3_the_ack_of_a_finished_event_never_waits_for_a_slower_one(backbone: Backbone) -> None:
    """One of a batch is stuck; all others are acked meanwhile."""
    consumer, release = Consumer(Parcels), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 0:
            await release.wait()

    async def only_one_is_pending() -> bool:
        (state,) = await backbone.groups(URI)
        return state.pending == 1 and state.unread == 0

    await pack(backbone, *range(30))
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)):
        await eventually(only_one_is_pending)
        release.set()


async def test_promise_3_what_a_crashed_consumer_had_is_delivered_again(backbone: Backbone, streams: Streams) -> None:
    """After its lease, as the second attempt."""
    await pack(backbone, 1, 2)
    await crash(streams, 1)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=2))
    assert (sorted(remembering.numbers), remembering.attempts) == ([1, 2], [2, 2])
