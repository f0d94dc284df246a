"""Signals to the process that `worker` runs: the first one stops it gracefully, the second one ends it."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from tests.faults.slow_project import BEGUN, DONE, GO_ON
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, pack
from tests.support.worker_process import ROOT


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the same server, for the lists that handlers write and wait for."""
    async with Redis.from_url(redis_url, decode_responses=True) as opened:
        yield opened


@asynccontextmanager
async def worker_command(url: str) -> AsyncGenerator[Process]:
    """Run the project's `worker` for the time of the block."""
    path = os.pathsep.join([str(ROOT / "template" / "src"), str(ROOT)])
    settings = {"REDIS_EVENT_SOURCE_ENDPOINT": url, "EVENT_SOURCE_ENVIRONMENT": "test", "PYTHONPATH": path}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.slow_project", "worker"),
        cwd=ROOT,
        env={**os.environ, **settings},
        stderr=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def has(client: Redis, name: str, numbers: list[str]) -> bool:
    """Return whether a list contains exactly these."""
    return await client.lrange(name, 0, -1) == numbers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_lets_what_runs_finish_and_gives_back_the_rest(
    backbone: Backbone, client: Redis, redis_url: str, number: signal.Signals
) -> None:
    """Scenario 16: exit code 0; what has not begun is due at once, and what comes later is not read."""
    async with worker_command(redis_url) as process:
        await pack(backbone, 1, 2, 3)
        await eventually(partial(has, client, BEGUN, ["1"]))
        process.send_signal(number)
        await eventually(lambda: _held_by_the_worker(backbone, 1))
        await pack(backbone, 4)
        await client.rpush(GO_ON, "now")
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert await client.lrange(DONE, 0, -1) == ["1"]
    assert await client.lrange(BEGUN, 0, -1) == ["1"]
    (state,) = await backbone.groups(URI)
    assert (state.consumers, state.pending + (state.unread or 0)) == (0, 3)
    assert state.parked == state.pending > 0
    assert {entry.attempt for entry in await backbone.pending(URI, GROUP)} == {0}


async def test_a_second_signal_ends_what_runs(backbone: Backbone, client: Redis, redis_url: str) -> None:
    """Scenario 16: at once, by that signal; what ran stays pending for its lease, and comes again."""
    async with worker_command(redis_url) as process:
        await pack(backbone, 1)
        await eventually(partial(has, client, BEGUN, ["1"]))
        await pack(backbone, 2)
        await eventually(lambda: _held_by_the_worker(backbone, 2))
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: _held_by_the_worker(backbone, 1))
        begun = monotonic()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == -signal.SIGTERM
        assert monotonic() - begun < 5
    assert await client.lrange(DONE, 0, -1) == []
    pending = await backbone.pending(URI, GROUP)
    assert [(entry.consumer is None, entry.attempt) for entry in pending] == [(False, 1), (True, 0)]


async def _held_by_the_worker(backbone: Backbone, count: int) -> bool:
    pending = await backbone.pending(URI, GROUP)
    return sum(entry.consumer is not None for entry in pending) == count
