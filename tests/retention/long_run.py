"""A million events through a small Redis, with what a long run brings: slow groups, dead ones, and killed workers."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGKILL
from typing import cast

from event_backbone import Backbone, Retention
from event_backbone.archive import S3Archive
from tests.support.eventually import eventually
from tests.support.parcels import URI, Parcels
from tests.support.retention import Retained
from tests.support.worker_process import Worker, worker

MAX_MEMORY_BYTES = 64 * 1024 * 1024
DEDUPLICATE_FOR = timedelta(seconds=60)
RETENTION = Retention(max_age=timedelta(seconds=2))
QUICK, SLOW, MORTAL = "quick", "slow", "mortal"
_DELAYS = {QUICK: 0.0, SLOW: 0.02, MORTAL: 0.0}
_AT_ONCE = 200
_MODULE = "tests.retention.long_worker"


class LongRun:
    """Produces events as fast as the slowest living group handles them, and kills a worker every few seconds."""

    def __init__(self, retained: Retained, url: str, folder: Path, seed: int) -> None:
        self.retained = retained
        self._url = url
        self.backbone = retained.backbone
        self.folder = folder
        self.produced = 0
        self.most_bytes = 0
        self._random = random.Random(seed)
        self._workers: dict[str, Worker] = {}
        self._stacks: dict[str, AsyncExitStack] = {}
        self._ended = asyncio.Event()
        self._killing: asyncio.Task[None] | None = None

    async def start(self, group: str) -> None:
        """Start the worker of a group; the quick one archives as well."""
        options = (f"--group={group}", f"--file={self.folder / group}", f"--delay={_DELAYS[group]}")
        archives = ("--archives",) if group != MORTAL else ()
        stack = AsyncExitStack()
        run = worker(self._url, *options, *archives, module=_MODULE)
        self._workers[group] = await stack.enter_async_context(run)
        self._stacks[group] = stack

    async def kill(self, group: str) -> None:
        """Kill the worker of a group."""
        self._workers.pop(group).process.send_signal(SIGKILL)
        await self._stacks.pop(group).aclose()

    async def close(self) -> None:
        """End all workers; raise what has kept one from starting."""
        self._ended.set()
        if self._killing is not None:
            await self._killing
        for group in list(self._workers):
            await self.kill(group)

    def begin_killing(self) -> None:
        """Kill a worker every few seconds from now on, and start it again."""
        self._killing = asyncio.create_task(self._kill_now_and_then())

    async def _kill_now_and_then(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(3 + 5 * self._random.random()):
                    await self._ended.wait()
                return
            group = self._random.choice(sorted(self._workers))
            await self.kill(group)
            await self.start(group)

    async def produce(self, until: int) -> None:
        """Produce more events, up to this number."""
        producer = self.backbone.producer(Parcels, uri=URI)
        while self.produced < until:
            await self._capacity()
            numbers = range(self.produced, min(until, self.produced + _AT_ONCE))
            await asyncio.gather(*map(producer.packed, numbers))
            self.produced = numbers.stop

    def handled(self, group: str) -> Counter[int]:
        """Return how often a group has handled each number."""
        file = self.folder / group
        return Counter(array("I", file.read_bytes()) if file.exists() else ())

    async def is_empty(self) -> bool:
        """Return whether the stream has no event any more."""
        return await self.retained.connection.command("XLEN", self.retained.name.key) == 0

    async def _capacity(self) -> None:
        """Wait until there is room for more: what is handled and archived has to leave first."""
        await eventually(self._has_capacity, within_seconds=240)

    async def _has_capacity(self) -> bool:
        if self._killing is not None and self._killing.done():
            await self._killing
        info = cast("bytes", await self.retained.connection.command("INFO", "memory"))
        used = int(info.split(b"used_memory:")[1].split(b"\r\n")[0])
        self.most_bytes = max(self.most_bytes, used)
        return used < 0.75 * MAX_MEMORY_BYTES


async def read_everything(backbone: Backbone) -> int:
    """Return how many events a scan from the beginning yields, in order and with their payloads."""
    expected = 0
    async for event in backbone.reader(URI).scan():
        assert event.arguments["number"] == expected
        expected += 1
    return expected


def backbone_of(url: str) -> Backbone:
    """Return the backbone of the producer, which carries retention out, too."""
    return Backbone(url, archive=S3Archive(), retention=RETENTION, deduplicate_for=DEDUPLICATE_FOR, environment="test")
