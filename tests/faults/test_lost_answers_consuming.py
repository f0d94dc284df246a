"""A subscription whose answers are lost after the server has acted: nothing is handled twice, and nothing waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import LeaseLost, Reject
from event_backbone.model import StreamName
from event_backbone.policy import RetryPolicy
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.append import APPEND
from event_backbone.stream.redis.member_scripts import ENSURE, FETCH, LOOK
from event_backbone.stream.redis.settlement_scripts import ACK, DEAD_LETTER, PARK, RELEASE
from tests.faults.known_scripts import called
from tests.faults.proxy import Proxy
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, nothing_is_left, pack, stopped_within

STREAM = StreamName.of(URI, "test")
AWAY = "LOADING Redis is loading the dataset in memory"


@pytest.fixture
async def spoiled(proxy: Proxy) -> AsyncIterator[Backbone]:
    """A backbone that reaches the server through the proxy."""
    async with Backbone(proxy.url, environment="test") as opened:
        yield opened


async def test_events_of_a_lost_read_are_handled_at_once(proxy: Proxy, backbone: Backbone, spoiled: Backbone) -> None:
    """Scenario 8: on their first attempt, long before their lease ends, and once."""
    remembering = Remembering()
    async with stopped_within(spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        for number in range(5):
            proxy.lose(b"XREADGROUP")  # the read that waits now is answered; of the next one the answer is lost
            await pack(backbone, 2 * number)
            await eventually(partial(remembering.numbers.__contains__, 2 * number))
            await pack(backbone, 2 * number + 1)
            await eventually(lambda: proxy.still_to_lose(b"XREADGROUP") == 0)
        await eventually(lambda: nothing_is_left(backbone))
    assert sorted(remembering.numbers) == list(range(10))
    assert set(remembering.attempts) == {1}


async def test_an_event_that_an_abandoned_read_is_given_later_is_found_soon(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, redis: Redis
) -> None:
    """The server still waits to answer a read whose connection is gone, and the first comparison comes too early."""

    async def both_reads_wait() -> bool:
        return int((await redis.info("clients"))["blocked_clients"]) == 2

    remembering = Remembering()
    proxy.lose(b"XREADGROUP", at_once=True)
    async with stopped_within(spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        await eventually(both_reads_wait)
        await pack(backbone, 1)
        await eventually(lambda: remembering.numbers == [1], 5)
        await eventually(lambda: nothing_is_left(backbone))
    assert remembering.attempts == [1]


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_lost_ack_is_an_ack(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, counted: CountedMetrics, times: int
) -> None:
    """Scenario 9: the events are finished, counted once, and not reported as taken over."""
    remembering = Remembering()
    await pack(backbone, *range(5))
    proxy.lose(called(ACK), times)
    async with stopped_within(spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.handled == 5)
        await eventually(lambda: nothing_is_left(backbone))
    assert proxy.still_to_lose(called(ACK)) == 0
    assert sorted(remembering.numbers) == list(range(5))
    assert counted.count("event_backbone.lease_lost") == 0


@pytest.mark.parametrize("times", [1, 5])
async def test_what_was_redriven_for_another_group_is_only_acked(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, redis: Redis, counted: CountedMetrics, times: int
) -> None:
    """However many of these answers are lost, and also if its reader crashed. It counts as nothing."""
    remembering = Remembering()
    await pack(backbone, 1)
    for _ in range(2):
        await redis.xadd(STREAM.key, {"wire": "1", "redriven": "1-0 another group", "redriven:metadata": "{}"})
    await redis.xgroup_create(STREAM.key, GROUP, "0-0")
    await redis.xreadgroup(GROUP, "crashed", {STREAM.key: ">"}, count=2)
    await redis.zadd(f"{{{STREAM.key}}}:members:{GROUP}", {"crashed": 1})
    proxy.lose(called(ACK), times)
    lease = timedelta(milliseconds=400)
    async with stopped_within(
        spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)
    ) as subscription:
        await eventually(lambda: nothing_is_left(backbone))
        await eventually(lambda: proxy.still_to_lose(called(ACK)) == 0)
        await eventually(lambda: subscription.handled == 1)
    assert remembering.numbers == [1]
    assert counted.count("event_backbone.delivered") == 1
    assert counted.count("event_backbone.skipped") == counted.count("event_backbone.dead_lettered") == 0


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_lost_dead_letter_move_is_one_move(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, counted: CountedMetrics, times: int
) -> None:
    """Scenario 10: one dead letter, the entry acked, counted once, and the line goes on."""
    consumer, numbers = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number == 0:
            raise Reject("not this one")

    await pack(backbone, *range(3))
    proxy.lose(called(DEAD_LETTER), times)
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.handled == 3)
        await eventually(lambda: nothing_is_left(backbone))
    assert proxy.still_to_lose(called(DEAD_LETTER)) == 0
    assert [letter.reason async for letter in backbone.dead_letters(URI, GROUP).list()] == ["rejected"]
    assert sorted(numbers) == [0, 1, 2]
    assert counted.count("event_backbone.dead_lettered", reason="rejected") == 1


async def test_a_lost_look_runs_what_it_took_once_and_gives_nothing_up(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, streams: RedisStreams
) -> None:
    """Scenario 6: the count rose without a run; the event is found and handled, although it may run only once."""
    await pack(backbone, 1)
    crashed = streams.group_reader(STREAM, GROUP, "crashed")
    await crashed.ensure("beginning")
    await crashed.read(1, timedelta(0))
    remembering, once = Remembering(), RetryPolicy(max_attempts=1)
    lease = timedelta(milliseconds=400)
    subscription = spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease, retry=once)
    async with stopped_within(subscription):
        await eventually(lambda: subscription.ready)
        proxy.lose(called(LOOK), 5)
        proxy.lose(called(FETCH), 2)
        await crashed.leave()  # one of these looks takes what it had
        await eventually(lambda: subscription.handled == 1)
    assert (proxy.still_to_lose(called(LOOK)), proxy.still_to_lose(called(FETCH))) == (0, 0)
    assert (remembering.numbers, remembering.attempts) == ([1], [2])
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []


async def test_a_parking_with_lost_answers_counts_once(proxy: Proxy, backbone: Backbone, spoiled: Backbone) -> None:
    """A failed event comes again as its second attempt, however many of these answers are lost."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt <= 2:
            raise LookupError

    await pack(backbone, 1)
    proxy.lose(called(PARK), 6)
    thrice = RetryPolicy(max_attempts=3, backoff=timedelta(milliseconds=1))
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP, retry=thrice)) as subscription:
        await eventually(lambda: subscription.handled == 1)
        await eventually(lambda: nothing_is_left(backbone))
    assert attempts == [1, 2, 3]
    assert proxy.still_to_lose(called(PARK)) == 0
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []


async def test_lost_answers_of_looks_lose_no_lease(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, streams: RedisStreams
) -> None:
    """They had renewed the row: nobody else can take the event, and the handler is not disturbed."""
    lease = timedelta(milliseconds=800)
    consumer, attempts = Consumer(Parcels), list[int]()
    other = streams.group_reader(STREAM, GROUP, "other")

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        proxy.lose(called(LOOK), 4)
        await eventually(lambda: proxy.still_to_lose(called(LOOK)) == 0)
        assert (await other.look(lease, 10)).deliveries == ()

    await pack(backbone, 1)
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP, lease=lease)) as subscription:
        await eventually(lambda: subscription.handled == 1)
    assert attempts == [1]


async def test_a_lost_release_gives_back_once(proxy: Proxy, backbone: Backbone, spoiled: Backbone) -> None:
    """What was not begun when it stopped is handled by the next consumer on its first attempt."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        subscription.stop()

    await pack(backbone, *range(10))
    proxy.lose(called(RELEASE), 2)
    subscription = spoiled.subscribe(consumer, uri=URI, group=GROUP, concurrency=1)
    async with stopped_within(subscription):
        await subscription.wait()
    assert proxy.still_to_lose(called(RELEASE)) == 0
    remembering = Remembering()
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        await eventually(lambda: nothing_is_left(backbone))
    assert sorted(remembering.numbers) == list(range(1, 10))
    assert set(remembering.attempts) == {1}


async def test_a_lost_answer_of_making_the_group_makes_it_once(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone
) -> None:
    """It begins where it was to begin."""
    await pack(backbone, 1)
    remembering = Remembering()
    proxy.lose(called(ENSURE), 4)
    async with stopped_within(
        spoiled.subscribe(remembering.consumer, uri=URI, group=GROUP, start="now")
    ) as subscription:
        await eventually(lambda: subscription.ready)
        await pack(backbone, 2)
        await eventually(lambda: 2 in remembering.numbers)
    assert remembering.numbers == [2]


@pytest.mark.parametrize("times", [1, 10])
async def test_a_produce_call_with_lost_answers_makes_one_entry(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, times: int
) -> None:
    """Scenario 7: the call answers the key of its one entry."""
    proxy.lose(called(APPEND), times)
    key = await spoiled.producer(Parcels, uri=URI).packed(7)
    assert [event.key async for event in backbone.reader(URI).scan()] == [key]
    assert proxy.still_to_lose(called(APPEND)) == 0


async def test_an_ack_that_comes_too_late_after_an_outage_is_reported_as_lost(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, redis: Redis
) -> None:
    """Another member has the event by then: neither the handler nor the count may take it as acked."""
    consumer, outcomes = Consumer(Parcels), list[str]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        for script in (ACK, LOOK):
            proxy.answer(called(script), AWAY)
        await redis.xclaim(STREAM.key, GROUP, "other", 0, [ctx.metadata.key.entry_id])
        try:
            await ctx.ack()
        except (LeaseLost, asyncio.CancelledError):  # raised here, or cancelled as every handler that lost its lease is
            outcomes.append("lost")
            raise
        outcomes.append("acked")

    await pack(backbone, 1)
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: not subscription.ready)  # the ack was refused at least once
        proxy.heal()
        await eventually(lambda: outcomes != [])
    assert (outcomes, subscription.handled) == (["lost"], 0)
    (state,) = await backbone.groups(URI)
    assert state.pending == 1


async def test_a_dead_letter_that_comes_too_late_after_an_outage_is_not_counted(
    proxy: Proxy, backbone: Backbone, spoiled: Backbone, redis: Redis, counted: CountedMetrics
) -> None:
    """Another member has the event by then, and decides about it."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        for script in (DEAD_LETTER, LOOK):
            proxy.answer(called(script), AWAY)
        await redis.xclaim(STREAM.key, GROUP, "other", 0, [ctx.metadata.key.entry_id])
        raise Reject("not this one")

    await pack(backbone, 1)
    async with stopped_within(spoiled.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: counted.count("event_backbone.outages", side="consumer") == 1)
        proxy.heal()
        await eventually(lambda: subscription.in_flight == 0)
    assert (subscription.handled, counted.count("event_backbone.dead_lettered")) == (0, 0)
    assert counted.count("event_backbone.lease_lost") == 1
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []
