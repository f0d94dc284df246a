"""Follow-up events of workers that are killed, and of calls whose answers are lost, at each step of producing once."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import islice
from random import Random
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.connection import Script
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from event_backbone.stream.redis.append import APPEND
from event_backbone.stream.redis.settlement_scripts import ACK, NOTE_FOLLOW_UP, RESERVE_FOLLOW_UP
from tests.faults.known_scripts import called
from tests.faults.proxy import Proxy
from tests.faults.worker import FOLLOW_UPS
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, nothing_is_left, pack, run_to_the_end, stopped_within
from tests.support.worker_process import worker

STEPS = (RESERVE_FOLLOW_UP, APPEND, NOTE_FOLLOW_UP, ACK)
KEPT = f"{{test:{URI}}}:once:{GROUP}"
WINDOW = timedelta(seconds=1)
TIMEOUT = timedelta(milliseconds=500)
EMAIL = "ada@example.com"


@pytest.fixture
async def spoiled(proxy: Proxy) -> AsyncIterator[Backbone]:
    """A backbone with a short window and timeout that reaches the server through the proxy."""
    async with Backbone(proxy.url, environment="test", deduplicate_for=WINDOW, produce_timeout=TIMEOUT) as opened:
        yield opened


async def produced(backbone: Backbone) -> list[int]:
    """Return the number of each follow-up event, in order of the numbers."""
    return sorted([int(str(event.arguments["number"])) async for event in backbone.reader(FOLLOW_UPS).scan()])


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
async def test_workers_killed_at_each_step_produce_one_follow_up_an_event(
    proxy: Proxy, backbone: Backbone, redis: Redis, seed: int
) -> None:
    """Scenario 20: killed when the server has carried out the step, in random order, amid lost answers and failures."""
    random, numbers = Random(seed), iter(range(1000))
    options = ("--lease=0.5", "--concurrency=4", "--follow-up", "--fail-until=3")
    for step in random.sample(STEPS, len(STEPS)):
        proxy.heal()
        async with worker(proxy.url, *options) as killed:
            await pack(backbone, *islice(numbers, random.randrange(5)))
            for other in random.sample(STEPS, 2):
                proxy.lose(called(other))
            carried_out = proxy.withhold(called(step))
            await pack(backbone, *islice(numbers, 5))
            await asyncio.wait_for(carried_out.wait(), 15)
            killed.send(signal.SIGKILL)
            await killed.ended()
    proxy.heal()
    async with worker(proxy.url, *options):
        await eventually(lambda: nothing_is_left(backbone), 30)
    assert await produced(backbone) == list(range(next(numbers)))
    assert await redis.exists(KEPT) == 0


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", STEPS, ids=["reserve", "append", "note", "ack"])
async def test_a_follow_up_whose_answers_are_lost_is_produced_once(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, step: Script, times: int
) -> None:
    """Without the handler's knowledge: none of its attempts fails."""
    consumer, attempts = Consumer(Parcels), Counter[int]()
    producer = spoiled.producer(Parcels, uri=FOLLOW_UPS)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        await producer.sent.using(once="parcel")(number, EMAIL)
        attempts[number] += 1

    await pack(backbone, 1, 2, 3)
    proxy.lose(called(step), times)
    await run_to_the_end(spoiled.subscribe(consumer, uri=URI, group=GROUP, max_events=3))
    assert proxy.still_to_lose(called(step)) == 0
    assert attempts == {1: 1, 2: 1, 3: 1}
    assert await produced(backbone) == [1, 2, 3]


@pytest.mark.parametrize("appended", [True, False])
async def test_after_the_window_a_follow_up_is_looked_for_and_then_replaced(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, redis: Redis, *, appended: bool
) -> None:
    """The next attempt begins when the stream has forgotten the event id, which was never noted as produced."""
    consumer, attempts, kept = Consumer(Parcels), list[int](), list[bytes]()
    producer = spoiled.producer(Parcels, uri=FOLLOW_UPS)
    retry = RetryPolicy(backoff=2 * WINDOW + TIMEOUT)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt == 1:
            proxy.answer(called(NOTE_FOLLOW_UP if appended else APPEND), "LOADING for a while")
        try:
            await producer.sent.using(once="parcel")(number, EMAIL)
        finally:
            proxy.heal()
            kept.append(cast("list[bytes]", await redis.hvals(KEPT))[0])
        if ctx.attempt == 1:
            raise LookupError

    await pack(backbone, 1)
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP, retry=retry)):
        await eventually(lambda: nothing_is_left(backbone))
    assert attempts == [1, 2]
    [event] = [event async for event in backbone.reader(FOLLOW_UPS).scan()]
    assert [f" {event.metadata.event_id}".encode() in lines for lines in kept] == [appended, True]
    assert await redis.exists(KEPT) == 0
