"""A view has each event once, none missing, in order, whatever dies and however many project at once."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, RetryPolicy
from event_backbone.projection import SqliteStore
from tests.support.eventually import eventually
from tests.support.letters import URI, send
from tests.support.views import letters_view, numbers_in, rows_of
from tests.support.worker_process import Worker, worker

QUICK = RetryPolicy(max_attempts=1000, backoff=timedelta(milliseconds=5))


async def _assert_whole(backbone: Backbone, views: Path) -> None:
    """The view is the history: the same keys, in the same order, each once."""
    keys = [str(each.key) async for each in backbone.reader(URI).scan()]
    assert [row.key for row in rows_of(views)] == keys


@pytest.mark.parametrize("others", ["in this process", "with another store"])
async def test_two_projectors_of_one_view_fold_each_event_once(
    backbone: Backbone, store: SqliteStore, views: Path, others: str
) -> None:
    """One folds, the other one finds the checkpoint moved and follows; both know when they have caught up."""
    await send(backbone, *range(1000))
    async with SqliteStore(views) as another, asyncio.timeout(30):
        second = store if others == "in this process" else another
        async with (
            backbone.projector(letters_view(), URI, store=store, retry=QUICK) as one,
            backbone.projector(letters_view(), URI, store=second, retry=QUICK) as two,
        ):
            for number in range(1000, 1300, 10):
                await send(backbone, *range(number, number + 10))
            await asyncio.gather(one.until_caught_up(), two.until_caught_up())
            assert numbers_in(views) == list(range(1300))
            await eventually(lambda: one.ready and two.ready)
            assert one.handled + two.handled == 1300
    await _assert_whole(backbone, views)


async def test_the_other_one_goes_on_when_the_first_has_ended(
    backbone: Backbone, store: SqliteStore, views: Path
) -> None:
    """Within a second: there is no lease to wait for."""
    async with backbone.projector(letters_view(), URI, store=store) as waiting:
        async with backbone.projector(letters_view(), URI, store=store):
            await send(backbone, 1)
            await eventually(lambda: numbers_in(views) == [1])
        await send(backbone, 2)
        await eventually(lambda: numbers_in(views) == [1, 2], within_seconds=1)
        assert waiting.alive


async def test_lost_connections_leave_a_whole_view(
    backbone: Backbone, redis: Redis, store: SqliteStore, views: Path
) -> None:
    """The connections to Redis are cut again and again while pages are read."""
    await send(backbone, *range(3000))
    async with asyncio.timeout(60), backbone.projector(letters_view(), URI, store=store) as projector:
        caught_up = asyncio.create_task(projector.until_caught_up())
        while not caught_up.done():
            await redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.wait({caught_up}, timeout=0.02)
        await caught_up
    await _assert_whole(backbone, views)


@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 8), *[pytest.param(seed, 60, marks=pytest.mark.long) for seed in range(2, 6)]]
)
async def test_projectors_killed_at_random_points_leave_a_whole_view(
    backbone: Backbone, redis_url: str, views: Path, seed: int, kills: int
) -> None:
    """Two processes project at once while events are produced; one or the other is killed."""
    random, stopping = Random(seed), asyncio.Event()

    async def produce() -> None:
        number = 0
        while not stopping.is_set():
            await send(backbone, *range(number, number + 20))
            number += 20
            await asyncio.sleep(0.001)

    def current(process: Worker) -> int:
        return int(process.lines[-1].split()[1])

    async def projecting(process: Worker, line: int) -> None:
        await eventually(lambda: len(process.lines) > line, within_seconds=30)

    arguments = (redis_url, "--views", str(views), "--lives", str(kills + 1))
    module = "tests.projection.projecting_process"
    async with worker(*arguments, module=module) as one, worker(*arguments, module=module) as two:
        producing = asyncio.create_task(produce())
        for process in (one, two):
            await projecting(process, 1)
        for _ in range(kills):
            process = random.choice([one, two])
            await asyncio.sleep(random.uniform(0, 0.15))
            line = len(process.lines)
            os.kill(current(process), signal.SIGKILL)
            await projecting(process, line)
        stopping.set()
        await producing
        total = len([each async for each in backbone.reader(URI).scan()])
        await eventually(lambda: len(rows_of(views)) >= total, within_seconds=60)
    await _assert_whole(backbone, views)
