"""Keeps worker processes running, as a service manager does, and remembers what each of them printed."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from tests.support.worker_process import Worker, worker

_STOP_SECONDS = 25.0
_READY_SECONDS = 15.0
_NO_END = 256
"""No exit code: the process is meant to run."""
MODULE = "tests.faults.chaos.worker"


class Supervised:
    """One place for a worker: whenever its process ends, the next one is started, until closed."""

    def __init__(self, url: str, *options: str) -> None:
        self._url = url
        self._options = options
        self._expected = _NO_END
        self._closing = False
        self.ready = asyncio.Event()
        self._current: Worker | None = None
        self.busy = asyncio.Lock()
        self.workers: list[Worker] = []
        self.disturbed: set[int] = set()
        self.problems: list[str] = []
        self.slowest_stop_seconds = 0.0

    async def run(self) -> None:
        """Run one process after the other."""
        while not self._closing:
            async with worker(self._url, *self._options, module=MODULE) as running:
                self._expected, self._current = _NO_END, running
                self.workers.append(running)
                self.ready.set()
                code = await running.process.wait()
                self.ready.clear()
            if code != self._expected:
                self.problems.append(f"a worker ended unexpectedly with exit code {code}")

    async def kill(self) -> None:
        """End the process at once."""
        async with self._held() as running:
            self._disturb()
            await self._end(running, signal.SIGKILL, -signal.SIGKILL)

    async def freeze(self, seconds: float) -> None:
        """Stop the process for a while."""
        async with self._held() as running:
            self._disturb()
            running.send(signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                running.send(signal.SIGCONT)

    async def restart(self) -> None:
        """End the process gracefully, as a deployment does; the next one follows."""
        async with self._held() as running:
            await self._stop(running)

    async def close(self) -> None:
        """End the process gracefully, and start no other."""
        async with self._held() as running:
            self._closing = True
            await self._stop(running)

    def abandon(self) -> None:
        """Start no more processes, and end the one that runs at once."""
        self._closing = True
        if self._current is not None and self._current.process.returncode is None:
            self._current.process.kill()

    @asynccontextmanager
    async def _held(self) -> AsyncGenerator[Worker]:
        async with self.busy:
            async with asyncio.timeout(_READY_SECONDS):
                await self.ready.wait()
            assert self._current is not None
            yield self._current

    def _disturb(self) -> None:
        self.disturbed.add(len(self.workers) - 1)

    async def _stop(self, running: Worker) -> None:
        began = monotonic()
        try:
            await self._end(running, signal.SIGTERM, 0)
        except TimeoutError:
            self.problems.append(f"a worker did not end within {_STOP_SECONDS:g} s of SIGTERM")
            await self._end(running, signal.SIGKILL, -signal.SIGKILL)
        self.slowest_stop_seconds = max(self.slowest_stop_seconds, monotonic() - began)

    async def _end(self, running: Worker, number: signal.Signals, code: int) -> None:
        self._expected = code
        self.ready.clear()
        if running.process.returncode is None:
            running.send(number)
        async with asyncio.timeout(_STOP_SECONDS):
            await running.process.wait()

    def count(self, step: str) -> Counter[int]:
        """Return how often each number reached this step."""
        return Counter(number for each in self.workers for number in each.numbers(step))

    def begun_before_a_disturbance(self, disturbing: Callable[[int], bool]) -> Counter[int]:
        """Return how many processes that were killed, frozen, or blocked by a number, had begun each number."""
        begun = [set(each.numbers("began")) for each in self.workers]
        disturbed = [
            numbers for index, numbers in enumerate(begun) if index in self.disturbed or any(map(disturbing, numbers))
        ]
        return Counter(number for numbers in disturbed for number in numbers)
