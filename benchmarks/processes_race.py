"""The race of worker processes: one and two of ``worker --processes`` on the same backlog, with handlers that compute.

Run as a module it is the command line of the project whose worker they run.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from redis.asyncio import Redis

from benchmarks.measure import Track, by_callers, race, ratio, table
from benchmarks.results import Table
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Consumer, Context, HandleInterceptor, Worker
from event_backbone.cli import Project, build_cli, run
from event_backbone.storage import RedisHashStorage
from tests.support.eventually import eventually

URI, GROUP, ENVIRONMENT = "parcels", "main-consumer", "benchmark"
WANTED = 1.5
_ENDPOINT = "REDIS_EVENT_SOURCE_ENDPOINT"
_WAITING, _GO = "waiting", "go"
"""Lists: a word of each process whose handlers wait, and one for each that may go on."""
_HASHES = 4000
"""About a millisecond."""
_LONGEST_SECONDS = 300


class ProcessesWorkload:
    """A backlog, and a supervisor with so many processes that wait for the start."""

    def __init__(self, url: str, backbone: Backbone, total: int) -> None:
        """Prepare; nothing is produced yet."""
        self._url, self._redis = url, Redis.from_url(url)
        self._backbone = backbone
        self._total = total
        self._supervisor: subprocess.Popen[bytes] | None = None

    async def prepare(self, processes: int) -> None:
        """Produce the backlog, start the processes, and wait until each of them waits."""
        await self.stop()
        await self._redis.flushall()
        parcels = self._backbone.producer(Parcels, uri=URI)
        await by_callers(256, self._total, lambda number: parcels.packing(TEXT, number, TIME))
        self._supervisor = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs
            [sys.executable, "-m", "benchmarks.processes_race", "worker", "--processes", str(processes)],
            env={**os.environ, _ENDPOINT: self._url, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.DEVNULL,
        )

        async def all_wait() -> bool:
            return await self._redis.llen(_WAITING) == processes

        await eventually(all_wait, within_seconds=_LONGEST_SECONDS)

    async def handle(self, processes: int) -> None:
        """Let them handle everything."""
        await self._redis.rpush(_GO, *["now"] * processes)

        async def all_handled() -> bool:
            (group,) = await self._backbone.groups(URI, expected=(GROUP,))
            return group.exists and group.pending + group.unread == 0

        await eventually(all_handled, within_seconds=_LONGEST_SECONDS)

    async def stop(self) -> None:
        """Stop the processes, if there are any."""
        if self._supervisor is not None:
            self._supervisor.terminate()
            await asyncio.to_thread(self._supervisor.wait)
            self._supervisor = None

    async def close(self) -> None:
        """Stop the processes, and close the connection."""
        await self.stop()
        await self._redis.aclose()


async def processes(url: str, total: int, rounds: int) -> Table:
    """Race two worker processes against one, over a fifth of the events, as each takes a millisecond."""
    total //= 5
    async with Backbone(url, environment=ENVIRONMENT, storage=_storage()) as backbone:
        work = ProcessesWorkload(url, backbone, total)
        one, two = (
            Track(f"worker --processes {count}", partial(work.handle, count), total, partial(work.prepare, count))
            for count in (1, 2)
        )
        try:
            await race([one, two], rounds)
        finally:
            await work.close()
    return table("processes", "Handlers that compute, on one and two processes", [one, two], [ratio(two, one, WANTED)])


def _storage() -> RedisHashStorage:
    return RedisHashStorage()


def _open_backbone(_settings: None = None, /, *, handle_interceptors: Sequence[HandleInterceptor] = ()) -> Backbone:
    return Backbone(
        os.environ[_ENDPOINT], environment=ENVIRONMENT, storage=_storage(), handle_interceptors=handle_interceptors
    )


@asynccontextmanager
async def _open_worker(_settings: None, backbone: Backbone) -> AsyncGenerator[Worker]:
    consumer, go = Consumer(Parcels), asyncio.Event()

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:  # noqa: ARG001
        if not go.is_set():
            await waiting
        hashlib.pbkdf2_hmac("sha256", email.encode(), b"salt", _HASHES)

    async def wait() -> None:
        async with Redis.from_url(os.environ[_ENDPOINT], socket_timeout=None) as redis:
            await redis.rpush(_WAITING, "here")
            await redis.blpop([_GO])
            go.set()

    waiting = asyncio.create_task(wait())
    async with Worker(backbone.subscribe(consumer, uri=URI, group=GROUP, drain=timedelta(seconds=5))) as worker:
        yield worker
    await waiting


if __name__ == "__main__":
    run(
        build_cli(
            Project(
                name="benchmark",
                module="benchmarks.processes_race",
                contract=Parcels,
                uri=URI,
                load_settings=lambda: None,
                open_backbone=_open_backbone,
                group=GROUP,
                open_worker=_open_worker,
            )
        )
    )
