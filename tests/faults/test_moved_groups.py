"""Groups that are moved while their consumers work, die, and lose answers: nothing from the new place on is lost."""

import asyncio
import random
from datetime import datetime, timedelta
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone import (
    Backbone,
    ConfigurationError,
    Consumer,
    Context,
    EventKey,
    GroupMissing,
    RetryPolicy,
    StreamError,
)
from event_backbone.errors import StreamUnavailable
from event_backbone.stream.values import Start
from event_backbone.testing.servers import RedisServer
from tests.faults.proxy import proxy_before
from tests.support.eventually import eventually
from tests.support.parcels import (
    GROUP,
    URI,
    Parcels,
    Remembering,
    Stuck,
    group_state,
    nothing_is_left,
    pack,
    stopped_within,
)
from tests.support.worker_process import worker

STREAM = "test:parcels"


async def keys_in(backbone: Backbone) -> list[EventKey]:
    """Return the keys of all events, in order."""
    return [event.key async for event in backbone.reader(URI).scan()]


async def test_running_handlers_of_events_that_come_again_are_cancelled_within_a_second(backbone: Backbone) -> None:
    """The same member is given them again, as attempt 1, and the old run can neither ack nor end the new one."""
    stuck = Stuck()
    await pack(backbone, *range(4))
    keys = await keys_in(backbone)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, concurrency=4, prefetch=1)
    async with stopped_within(subscription):
        await eventually(lambda: len(stuck.numbers) == 4)
        before = monotonic()
        report = await backbone.seek(URI, GROUP, keys[1])
        assert (report.come_again, report.given_up, report.still_pending) == (3, 3, 1)
        await eventually(lambda: sorted(stuck.numbers[4:]) == [1, 2, 3])
        assert monotonic() - before < 3
        assert set(stuck.attempts) == {1}
        stuck.release.set()
        await eventually(lambda: nothing_is_left(backbone))
        await eventually(lambda: subscription.handled == 4)
    assert sorted(stuck.numbers) == [0, 1, 1, 2, 2, 3, 3]


async def test_a_run_that_ends_after_the_event_was_read_again_does_not_end_the_new_one(backbone: Backbone) -> None:
    """Its member has not looked yet; key, attempt and member are those of the new delivery."""
    began, ended, turns = asyncio.Event(), list[int](), [asyncio.Event(), asyncio.Event()]
    consumer, called = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(_: Context, number: int) -> None:
        called.append(number)
        began.set()
        turn = len(called) - 1
        try:
            await turns[turn].wait()
        except asyncio.CancelledError:
            turns[0].set()
            await asyncio.sleep(0)
            raise
        ended.append(turn)

    await pack(backbone, 1)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=2)
    async with stopped_within(subscription):
        await began.wait()
        await backbone.seek(URI, GROUP, "beginning")
        await eventually(lambda: len(called) == 2)
        assert (await group_state(backbone)).pending == 1
        turns[1].set()
        await eventually(lambda: nothing_is_left(backbone))
    assert ended == [1]


async def test_parked_events_and_those_skipped_are_reported(backbone: Backbone) -> None:
    """A dry run changes nothing; forward skips; a parked event before the new place keeps its due time."""
    consumer, numbers = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(_: Context, number: int) -> None:
        numbers.append(number)
        if number == 0:
            raise LookupError

    retry = RetryPolicy(backoff=timedelta(hours=1))
    await pack(backbone, 0, 1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry, max_events=1)) as running:
        await running.wait()
    await pack(backbone, 2, 3, 4)
    keys = await keys_in(backbone)
    planned = await backbone.seek(URI, GROUP, keys[4], dry_run=True)
    assert (planned.left, planned.skipped, planned.come_again, planned.still_pending) == (keys[1], 2, 0, 1)
    assert (await group_state(backbone)).last_delivered == keys[1]
    assert await backbone.seek(URI, GROUP, keys[4]) == planned
    [waiting] = await backbone.pending(URI, GROUP)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry, max_events=1)) as running:
        await running.wait()
    assert [each.due for each in await backbone.pending(URI, GROUP)] == [waiting.due]
    assert numbers == [0, 1, 4]
    back = await backbone.seek(URI, GROUP, "beginning")
    assert (back.come_again, back.given_up) == (5, 1)
    to_the_end = await backbone.seek(URI, GROUP, "now")
    assert (to_the_end.skipped, to_the_end.position, (await group_state(backbone)).unread) == (5, keys[4], 0)
    with pytest.raises(GroupMissing):
        await backbone.seek(URI, "nobody", "now")


@pytest.mark.parametrize("start", [str(EventKey(1)), "begining", None, ["now"], datetime.fromisoformat("2026-01-31")])
async def test_a_place_is_a_key_a_time_or_one_of_two_words(backbone: Backbone, start: Start) -> None:
    """Nothing else; a key as text, too, is refused in one sentence, by ``subscribe`` as well."""
    with pytest.raises(ConfigurationError, match="to must be an aware time"):
        await backbone.seek(URI, GROUP, start)
    with pytest.raises(ConfigurationError, match="start must be an aware time"):
        backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, start=start)


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_while_workers_are_killed_and_answers_are_lost(own_redis: RedisServer, seed: int) -> None:
    """A history of what was handled: after each move, everything from its target on is handled again, and all is."""
    randomly, handled = random.Random(seed), list[tuple[float, int]]()
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(_: Context, number: int) -> None:
        await asyncio.sleep(randomly.random() / 50)
        handled.append((monotonic(), number))

    lease, total = timedelta(seconds=1), 300
    async with (
        Backbone(own_redis.url, environment="test") as backbone,
        proxy_before(own_redis.port) as proxy,
        Backbone(proxy.url, environment="test") as unreliable,
    ):
        await pack(backbone, *range(total))
        keys = await keys_in(backbone)
        moves = list[tuple[float, int]]()
        steady = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=20, lease=lease)
        shaky = unreliable.subscribe(consumer, uri=URI, group=GROUP, concurrency=20, lease=lease)
        async with stopped_within(steady, 60), stopped_within(shaky, 60), worker(own_redis.url) as process:
            for turn in range(4):
                progress = len(handled)
                await eventually(lambda progress=progress: len(handled) > progress + 20 or nothing_is_left(backbone))  # type: ignore[misc]
                for command in (b"XREADGROUP", b"EVALSHA"):
                    proxy.lose(command, 2)
                if turn == 2:
                    process.process.kill()
                to = randomly.randrange(total)
                began = monotonic()
                try:
                    await (unreliable if turn == 1 else backbone).seek(URI, GROUP, keys[to])
                except StreamUnavailable:
                    await backbone.seek(URI, GROUP, keys[to])
                moves.append((began, to))
            await eventually(lambda: nothing_is_left(backbone), 40)
    began, to = moves[-1]
    assert set(range(total)) == {number for _, number in handled} | set(process.numbers("done"))
    assert set(range(to, total)) <= {number for at, number in handled if at >= began}


async def test_a_group_is_moved_across_a_restart_of_redis(own_redis: RedisServer) -> None:
    """The move is as durable as everything in Redis; consumers go on from the new place."""
    remembering = Remembering()
    async with Backbone(own_redis.url, environment="test") as backbone:
        await pack(backbone, *range(3))
        keys = await keys_in(backbone)
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 40):
            await eventually(lambda: nothing_is_left(backbone))
            await backbone.seek(URI, GROUP, keys[1])
            own_redis.restart()
            await eventually(lambda: len(remembering.numbers) >= 5, 30)
    assert sorted(remembering.numbers) == [0, 1, 1, 2, 2]


async def test_nobody_moves_or_deletes_a_group_of_a_stream_that_is_being_replaced(
    backbone: Backbone, redis: Redis
) -> None:
    """A restore or a migration puts groups into their places itself."""
    await pack(backbone, 1)
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, until="empty")) as one:
        await one.wait()
    before = await group_state(backbone)
    await redis.set(f"{{{STREAM}}}:restore", "token of another process")
    with pytest.raises(StreamError, match="A restore or migration of stream test:parcels is under way"):
        await backbone.seek(URI, GROUP, "beginning")
    with pytest.raises(StreamError, match="A restore or migration of stream test:parcels is under way"):
        await backbone.delete_group(URI, GROUP)
    assert await group_state(backbone) == before


async def test_a_deleted_group_leaves_no_key_and_keeps_no_event(backbone: Backbone, redis: Redis) -> None:
    """While a consumer is alive, or dead letters would be lost, nothing is deleted."""
    remembering = Remembering()
    await pack(backbone, 1)
    before = set(await redis.keys())
    subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)
    async with stopped_within(subscription):
        await eventually(lambda: subscription.handled == 1)
        with pytest.raises(StreamError, match="1 living consumer"):
            await backbone.delete_group(URI, GROUP)
    planned = await backbone.delete_group(URI, GROUP, dry_run=True)
    assert (planned.exists, planned.consumers, planned.pending) == (True, 0, 0)
    assert len(await backbone.groups(URI)) == 1
    assert await backbone.delete_group(URI, GROUP) == planned
    assert list(await backbone.groups(URI)) == []
    assert set(await redis.keys()) == before
    with pytest.raises(GroupMissing):
        await backbone.delete_group(URI, GROUP)
