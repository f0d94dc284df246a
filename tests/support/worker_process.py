"""Runs ``tests/faults/worker.py``, or another module, as a separate process and follows what it prints."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([str(ROOT / "template" / "src"), str(ROOT)])


class Worker:
    """A consuming process. ``lines`` is what it has printed so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    def steps(self, step: str) -> list[tuple[int, int]]:
        """Return the number and the attempt of each event that reached this step."""
        return list(zip(self.numbers(step), self.attempts(step), strict=True))

    def numbers(self, step: str) -> list[int]:
        """Return the numbers of the events that reached this step: began, done or cancelled."""
        return [int(line.split()[1]) for line in self.lines if line.startswith(f"{step} ")]

    def attempts(self, step: str) -> list[int]:
        """Return the attempts of the events that reached this step."""
        return [int(line.split()[2]) for line in self.lines if line.startswith(f"{step} ")]

    async def until(self, line: str) -> None:
        """Wait for a line."""
        await eventually(lambda: line in self.lines or self._ended())
        assert line in self.lines, self.lines

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        async with asyncio.timeout(20):
            await self._reading
            return await self.process.wait()

    async def close(self) -> None:
        """End the process if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading

    def _ended(self) -> bool:
        return self._reading.done()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().strip())


@asynccontextmanager
async def worker(url: str, *options: str, module: str = "tests.faults.worker") -> AsyncGenerator[Worker]:
    """Run a worker for the time of the block; it is at work when the block begins."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        f"--url={url}",
        *options,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        stdout=PIPE,
    )
    running = Worker(process)
    try:
        await running.until("ready")
        yield running
    finally:
        await running.close()
