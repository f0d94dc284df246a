"""Promises 3, 6 and 7 of the consuming side, each by name; 4, 5 and 8 have files of their own."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.base import Streams
from tests.support.crashes import crash
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

STREAM = StreamName.of(URI, "test")
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


async def test_promise_6_an_erased_payload_is_an_outcome_and_not_an_endless_retry(backbone: Backbone) -> None:
    """The event is a dead letter, and the next one is handled."""
    key: EventKey = await backbone.producer(Parcels, uri=URI).packed(1)
    await pack(backbone, 2)
    await backbone.erase(URI, key)
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert (letter.key, letter.reason, remembering.numbers) == (key, "payload-erased", [2])


async def test_promise_7_a_destroyed_group_is_made_anew_from_the_beginning(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Never silently at the end: what was produced meanwhile arrives, and what was handled comes again."""
    remembering = Remembering()
    async with (
        Backbone(redis_url, environment="test") as backbone,
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, start="now")),
    ):
        await pack(backbone, 1)
        await eventually(lambda: remembering.numbers == [1])
        await client.xgroup_destroy(STREAM.key, GROUP)
        await pack(backbone, 2)
        await eventually(lambda: set(remembering.numbers) == {1, 2} and len(remembering.numbers) >= 3)
    assert caplog.text.count("was missing") == 1


async def test_promise_7_a_flushed_server_is_used_again_at_once(redis_url: str) -> None:
    """Stream, group, scripts: all gone; the subscription makes what it needs."""
    remembering = Remembering()
    async with (
        Backbone(redis_url, environment="test") as backbone,
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)) as subscription,
    ):
        await pack(backbone, 1)
        await eventually(lambda: remembering.numbers == [1])
        await client.flushall()
        await client.script_flush()
        await pack(backbone, 2)
        await eventually(lambda: 2 in remembering.numbers)
        await eventually(lambda: subscription.ready)
