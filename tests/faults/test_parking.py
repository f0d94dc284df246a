"""Promise 5 on a real server: failed events wait there for their next attempt, and do not delay others."""

import asyncio
from collections import Counter
from datetime import timedelta
from time import monotonic

from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Retry
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, group_state, nothing_is_left, pack, stopped_within

STREAM = "test:parcels"
LEASE = timedelta(seconds=4)


class Failing:
    """Asks for a retry ``after`` some time as long as its number is in ``failing``; ``runs`` has (number, time)."""

    def __init__(self, failing: set[int], after: timedelta) -> None:
        self.failing = failing
        self.runs: list[tuple[int, float]] = []
        self._after = after
        self.consumer = Consumer(Parcels)
        self.consumer.on(Parcels.packed)(self.packed)

    async def packed(self, ctx: Context, number: int) -> None:
        """Fail or succeed."""
        self.runs.append((number, monotonic()))
        if number in self.failing:
            raise Retry(self._after)
        await asyncio.sleep(0.002)

    @property
    def times(self) -> Counter[int]:
        """How often each event began."""
        return Counter(number for number, _ in self.runs)


async def is_parked(backbone: Backbone, count: int) -> bool:
    """Return whether this many events of the group are parked, and nothing else is pending."""
    state = await group_state(backbone)
    return state.parked == state.pending == count


async def test_a_group_made_again_by_others_while_events_are_parked_gets_them_again(
    backbone: Backbone, redis: Redis
) -> None:
    """What was parked belonged to the old group; the new one reads it from the beginning, and finishes it."""
    failing = Failing({1, 2}, after=timedelta(hours=1))
    async with stopped_within(backbone.subscribe(failing.consumer, uri=URI, group=GROUP, lease=LEASE)) as subscription:
        await pack(backbone, 1, 2)
        await eventually(lambda: is_parked(backbone, 2))
        failing.failing.clear()
        await redis.xgroup_destroy(STREAM, GROUP)
        await redis.xgroup_create(STREAM, GROUP, id="0")
        await pack(backbone, 3)
        await eventually(lambda: subscription.handled == 3)
        await eventually(lambda: nothing_is_left(backbone))
    assert failing.times == {1: 2, 2: 2, 3: 1}


async def test_a_busy_group_begins_what_is_due_within_about_a_second(backbone: Backbone) -> None:
    """Thousands of unread events are ahead of it in the stream, and some are in flight in the member."""
    failing = Failing({0}, after=timedelta(seconds=1))
    await pack(backbone, *range(2000))
    subscription = backbone.subscribe(failing.consumer, uri=URI, group=GROUP, concurrency=1, lease=LEASE)
    async with stopped_within(subscription, 60):
        await eventually(lambda: failing.runs != [])
        failing.failing.clear()
        await eventually(lambda: failing.times[0] == 2)
        assert (await group_state(backbone)).unread
    first, second = (began for number, began in failing.runs if number == 0)
    assert 1 <= second - first < 3.5


async def test_at_the_bound_of_parked_events_reading_ends_until_there_are_fewer(backbone: Backbone) -> None:
    """What cannot be parked stays in flight, the group is not ready, and it goes on automatically."""
    failing = Failing(set(range(6)), after=timedelta(seconds=1))
    await pack(backbone, *range(6))
    subscription = backbone.subscribe(failing.consumer, uri=URI, group=GROUP, lease=LEASE, max_parked=2, max_waiting=1)
    async with stopped_within(subscription, 60):
        await eventually(lambda: subscription.in_flight >= 4 and not subscription.ready)
        await eventually(lambda: sum(failing.times.values()) >= 10)  # a read that waited before has ended
        await pack(backbone, *range(6, 10))
        turns = sum(failing.times.values())
        await eventually(lambda: sum(failing.times.values()) >= turns + 4)
        state = await group_state(backbone)
        assert (state.pending, state.unread, state.parked <= 2, subscription.ready) == (6, 4, True, False)
        failing.failing.clear()
        await eventually(lambda: subscription.handled == 10, 30)
        await eventually(lambda: subscription.ready)
    assert min(failing.times.values()) >= 1
    assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []


async def test_events_that_fail_all_at_once_take_few_connections(backbone: Backbone, redis: Redis) -> None:
    """A hundred handlers lose their database at the same moment: each event is parked, over a few connections."""
    failing = Failing(set(range(100)), after=timedelta(hours=1))
    await pack(backbone, *range(100))
    before = await connections(redis)
    subscription = backbone.subscribe(failing.consumer, uri=URI, group=GROUP, concurrency=100, lease=LEASE)
    async with stopped_within(subscription):
        await eventually(lambda: is_parked(backbone, 100))
    assert await connections(redis) - before < 50


async def connections(redis: Redis) -> int:
    """Return how many connections the server has ever accepted."""
    return int((await redis.info("stats"))["total_connections_received"])
