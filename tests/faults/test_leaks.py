"""What is left when everything has stopped: no consumer, connection, task, thread or file, and no key forever."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta

from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Reject
from event_backbone.policy import RetryPolicy
from event_backbone.storage import RedisHashStorage
from event_backbone.wire.keys import WAITING_CONSUMER
from tests.support.eventually import eventually
from tests.support.keys import assert_no_leaked_keys
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, stopped_within

STREAM = "test:parcels"
TIMES = 200
TOLERANCE = 5
"""How many more connections may be open at one moment than at another; a leak leaves one for each turn."""


async def connections(admin: Redis) -> int:
    """Return how many clients the server has, besides this one."""
    return len(await admin.client_list()) - 1


def of_this_process() -> tuple[int, int, int]:
    """Return the number of tasks, threads and open files."""
    return len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/dev/fd"))  # noqa: PTH208 - counted only


def assert_nothing_grew(before: tuple[int, ...]) -> None:
    """Compare with an earlier count; what other tests left may have ended meanwhile."""
    now = of_this_process()
    assert all(number <= earlier + TOLERANCE for number, earlier in zip(now, before, strict=True)), (before, now)


async def test_two_hundred_starts_and_stops_leave_nothing(redis_url: str) -> None:
    """Scenario 17: of subscriptions in one backbone, every other one stopped while it was working."""
    async with Redis.from_url(redis_url) as admin:
        others = await connections(admin)
        async with Backbone(redis_url, environment="test") as backbone:
            await pack(backbone, 0)
            before: tuple[int, ...] = ()
            for turn in range(TIMES):
                remembering = Remembering()
                async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
                    if turn % 2:
                        await pack(backbone, turn)
                        await remembering.running.wait()
                if turn == TIMES // 10:
                    before = of_this_process()
            assert_nothing_grew(before)
            left = {consumer["name"].decode() for consumer in await admin.xinfo_consumers(STREAM, GROUP)}
            assert left <= {WAITING_CONSUMER}
            assert await admin.zcard(f"{{{STREAM}}}:members:{GROUP}") == 0
            assert await connections(admin) <= others + 10  # what was open at the same time, not one per turn
        await eventually(_there_are_no_more(admin, others))


def _there_are_no_more(admin: Redis, than: int) -> Callable[[], Awaitable[bool]]:
    async def none_is_left() -> bool:
        return await connections(admin) <= than

    return none_is_left


async def test_backbones_that_open_and_close_leave_nothing(redis_url: str) -> None:
    """Each with a producer, a subscription and a reader that had all been at work."""
    async with Redis.from_url(redis_url) as admin:
        others = await connections(admin)
        before: tuple[int, ...] = ()
        for turn in range(TIMES // 4):
            remembering = Remembering()
            async with (
                Backbone(redis_url, environment="test") as backbone,
                stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)),
            ):
                await pack(backbone, turn)
                await remembering.running.wait()
                assert [event async for event in backbone.reader(URI).scan()]
            if turn == TIMES // 40:
                await eventually(_there_are_no_more(admin, others))
                before = of_this_process()
        await eventually(_there_are_no_more(admin, others))
        assert_nothing_grew(before)


async def test_after_everything_that_can_happen_to_events_no_key_stays_forever(redis_url: str) -> None:
    """Scenario 18: with payloads that expire, only streams, of events and dead letters, and groups do not expire."""
    consumer, done = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 1 and ctx.attempt == 1:
            raise LookupError
        if number == 2:
            raise Reject("not this one")
        if number == 3 and ctx.attempt < 3:
            raise LookupError
        done.append(number)

    storage = RedisHashStorage(expires_after=timedelta(hours=1))
    retry = RetryPolicy(max_attempts=2, backoff=timedelta(milliseconds=1))
    async with Redis.from_url(redis_url) as admin, Backbone(redis_url, storage=storage, environment="test") as backbone:
        subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry)
        async with stopped_within(subscription):
            await pack(backbone, *range(5))
            await eventually(lambda: subscription.handled == 5)
            await backbone.dead_letters(URI, GROUP).redrive_all(reason="attempts-exhausted")
        async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)):
            await eventually(lambda: 3 in done, 20)
        await backbone.reserve_event_id(URI, "token", b"request")
        first = await anext(aiter(backbone.reader(URI).scan()))
        await backbone.erase(URI, first.key)
        await eventually(lambda: _nothing_is_pending(backbone))
        await assert_no_leaked_keys(admin, [f"{{{STREAM}}}:group:{GROUP}"])


async def _nothing_is_pending(backbone: Backbone) -> bool:
    (state,) = await backbone.groups(URI)
    return state.pending == 0
