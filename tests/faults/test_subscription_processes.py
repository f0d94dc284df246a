"""Consumers as real processes that are killed, frozen and stopped in the middle of their work."""

import signal
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.consumer import Consumer
from event_backbone.metadata import StreamName
from event_backbone.settings import RedisSettings
from event_backbone.storage import StorageScope
from event_backbone.stream.redis import RedisStreams
from event_backbone.subscription import Subscription, SubscriptionOptions
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, pack, stopped_within
from tests.support.worker_process import Worker, worker


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone on an empty Redis."""
    async with Backbone(redis_url, environment="test") as opened:
        yield opened


async def pending(backbone: Backbone) -> int:
    """Return how many events the group has delivered and not finished."""
    return sum(state.pending for state in await backbone.groups(URI))


async def only_are_pending(backbone: Backbone, count: int) -> bool:
    """Return whether so many events are pending, and all others finished."""
    (state,) = await backbone.groups(URI)
    return state.pending == count and state.unread == 0


async def test_sigkill_in_mid_batch_redelivers_only_what_was_unfinished(backbone: Backbone, redis_url: str) -> None:
    """Promise 3: ten of twenty are stuck; the others, finished beside them, do not come again."""
    await pack(backbone, *range(20))
    async with worker(redis_url, "--lease=1", "--concurrency=20", "--block-odd") as killed:
        await eventually(lambda: only_are_pending(backbone, 10))
        killed.send(signal.SIGKILL)
        await killed.ended()
    assert sorted(killed.numbers("done")) == list(range(0, 20, 2))
    async with worker(redis_url, "--lease=1") as heir:
        await eventually(lambda: only_are_pending(backbone, 0))
        assert sorted(heir.numbers("done")) == list(range(1, 20, 2))
        assert set(heir.attempts("done")) == {2}


async def test_a_poison_event_that_kills_its_process_takes_no_neighbour_with_it(
    backbone: Backbone, redis_url: str
) -> None:
    """Promise 5: a supervisor restarts the worker until the line goes on; one dead letter is left."""
    numbers = [1, 2, 3, 666, 4, 5, 6]
    await pack(backbone, *numbers)
    done: list[int] = []
    for _ in range(12):
        async with worker(redis_url, "--lease=0.3", "--concurrency=3") as restarted:
            await eventually(lambda: only_dead_or_done(backbone, restarted))
        done += restarted.numbers("done")
        if await pending(backbone) == 0:
            break
    letters = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert [each.reason for each in letters] == ["crashed"]
    assert set(done) == {1, 2, 3, 4, 5, 6}


async def only_dead_or_done(backbone: Backbone, process: Worker) -> bool:
    """Return whether the process has died, or the group has nothing left to do."""
    return process.process.returncode is not None or await only_are_pending(backbone, 0)


async def test_a_frozen_process_that_wakes_up_cannot_ack_what_another_has_taken_over(
    backbone: Backbone, redis_url: str
) -> None:
    """Promise 4: its handler is cancelled; the event was handled by the other, once."""
    await pack(backbone, 1)
    async with worker(redis_url, "--lease=0.5", "--block-odd") as frozen:
        await frozen.until("began 1 1")
        frozen.send(signal.SIGSTOP)
        async with worker(redis_url, "--lease=0.5") as other:
            await other.until("done 1 2")
            await eventually(lambda: only_are_pending(backbone, 0))
            frozen.send(signal.SIGCONT)
            await frozen.until("cancelled 1 1")
        assert frozen.numbers("done") == []


async def test_sigterm_finishes_what_runs_and_gives_the_rest_back(backbone: Backbone, redis_url: str) -> None:
    """Promise 8: after a clean exit another process gets the rest at once: on its first attempt unless it had begun."""
    await pack(backbone, *range(1, 31))
    async with worker(redis_url, "--concurrency=2", "--block-odd", "--drain=0.2") as stopped:
        await eventually(lambda: len(stopped.numbers("began")) >= 2)
        stopped.send(signal.SIGTERM)
        assert await stopped.ended() == 0
    assert "stopped" in stopped.lines
    begun = set(stopped.numbers("began"))
    assert await pending(backbone) >= len(begun - set(stopped.numbers("done")))
    async with worker(redis_url) as heir:
        cancelled = set(stopped.numbers("cancelled"))
        rest = set(range(1, 31)) - begun
        await eventually(lambda: sorted(heir.numbers("done")) == sorted(rest | cancelled))
        attempts = dict(zip(heir.numbers("done"), heir.attempts("done"), strict=True))
    assert attempts == dict.fromkeys(rest, 1) | dict.fromkeys(cancelled, 2)


async def test_crashed_consumers_are_swept_from_the_group(backbone: Backbone, redis_url: str) -> None:
    """Promise 8: by whoever starts or stops, once nothing is pending for them and they were silent for long enough."""
    async with worker(redis_url) as killed:
        await pack(backbone, 2)
        await killed.until("done 2 1")
        await eventually(lambda: only_are_pending(backbone, 0))
        killed.send(signal.SIGKILL)
        await killed.ended()
    (before,) = await backbone.groups(URI)
    connection = RedisConnection(RedisSettings.parse(redis_url))
    heir = Subscription(
        RedisStreams(connection),
        scope=StorageScope(StreamName.of(URI, "test"), connection),
        group=GROUP,
        consumer=Consumer(Parcels),
        storages={},
        options=SubscriptionOptions(consumer="heir", crashed_after=timedelta(0)),
    )
    async with stopped_within(heir):
        await eventually(lambda: heir.ready)
        swept = await backbone.groups(URI)
    await connection.close()
    (after,) = await backbone.groups(URI)
    assert (before.consumers, after.consumers) == (1, 0)
    assert swept[0].consumers <= 1
