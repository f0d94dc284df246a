"""One of several worker processes, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from http import HTTPStatus
from socket import socketpair
from time import monotonic
from typing import cast

from pydantic_core import from_json

from event_backbone.backoff import Backoff, Delays, pause
from event_backbone.cli import supervised
from event_backbone.web.worker_health import READY, Answer

_BACKOFF = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=30))
_RAN_WELL_SECONDS = 30.0
"""After so long the next unexpected end counts as the first one."""
_SILENT_SECONDS = 30.0
_TOO_MANY_ENDS = 5
"""By then it has been started again for half a minute."""
_ANSWER_WITHIN = timedelta(seconds=3)
_LAST_WORDS_WITHIN_SECONDS = 1.0
_LONGEST_LINE_BYTES = 16 * 1024 * 1024
_CANNOT_START = 1

_log = logging.getLogger(__name__)


class WorkerProcess:
    """Starts a process, starts it again with growing delays when it ends before it should, and stops it.

    Attributes:
        started: set while a process runs whose worker has started.
        sign_at: when it showed last that it lives, by the monotonic clock.
        could_start: whether the worker of the process that runs, or ran last, has started.
        running: whether there is a process, or will be in a moment.
    """

    def __init__(
        self, number: int, command: Sequence[str], environment: Mapping[str, str], stopping: asyncio.Event
    ) -> None:
        """Prepare; ``run`` starts it. Setting ``stopping`` stops it."""
        self._number = number
        self._name = f"Worker {number}"
        self._command = command
        self._environment = environment
        self._stopping = stopping
        self._delays = Delays(_BACKOFF)
        self._process: Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stop_within = supervised.STOP_WITHIN
        self._started_at = self.sign_at = monotonic()
        self._problem: str | None = None
        self._answers: dict[str, asyncio.Future[Answer | None]] = {}
        self._finished = False
        self._ended = False
        self.started = asyncio.Event()
        self.could_start = False
        self.running = False

    async def run(self, give_up: Callable[[], bool]) -> int:
        """Run it until it has finished, is stopped, or cannot start while ``give_up``; return its last exit code."""
        try:
            while True:
                code = await self._run_once()
                if self._finished or self._stopping.is_set() or (not self.could_start and give_up()):
                    return code
                delay = self._delays.next()
                _log.warning("%s %s; it starts again in %.1f s.", self._name, _ending(code), delay.total_seconds())
                await pause(self._stopping, delay)
                if self._stopping.is_set():
                    return 0 if self.could_start else code
        finally:
            self._ended = True

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def why_not_alive(self) -> str | None:
        """Return a sentence if it is silent, is not alive, or has ended too often; starting again is no reason."""
        if self._ended:
            return None
        if self._delays.failures >= _TOO_MANY_ENDS:
            return f"{self._name} ends again and again; the log says how."
        if monotonic() - self.sign_at > _SILENT_SECONDS:
            return f"{self._name} has shown no sign of life for {_SILENT_SECONDS:.0f} seconds."
        return None if self._problem is None else f"{self._name}: {self._problem}"

    async def why_not_ready(self) -> str | None:
        """Return a sentence unless it has started, is alive, and says that it is ready."""
        if self._ended:
            return None
        if not self.started.is_set():
            return f"{self._name} has ended, and starts again." if self._delays.failures else f"{self._name} starts."
        if (problem := self.why_not_alive()) is not None:
            return problem
        if (answer := await self.ask(READY)) is None:
            return f"{self._name} did not answer within {_ANSWER_WITHIN.total_seconds():g} seconds."
        status, body = answer
        return None if status == HTTPStatus.OK else f"{self._name}: {cast('dict[str, str]', body)['detail']}"

    async def ask(self, target: str) -> Answer | None:
        """Ask a process that has started, once for all who ask the same; None if it does not answer in time."""
        if (answer := self._answers.get(target)) is None:
            answer = self._answers[target] = asyncio.get_running_loop().create_future()
            cast("asyncio.StreamWriter", self._writer).write(f"{target}\n".encode())
        try:
            async with asyncio.timeout(_ANSWER_WITHIN.total_seconds()):
                return await asyncio.shield(answer)
        except TimeoutError:  # the question or its answer may be lost: whoever asks next asks again
            if self._answers.get(target) is answer:
                self._answers.pop(target).set_result(None)
            return None

    async def _run_once(self) -> int:
        self.running, self.could_start, self._problem = True, False, None
        self._started_at = self.sign_at = monotonic()
        try:
            async with self._separate_process() as (process, reader):
                reading = asyncio.create_task(self._read(reader))
                stopping = asyncio.create_task(self._stop())
                try:
                    code = await process.wait()
                    # What it said last. A process that it forked has the socket, too, and may live longer.
                    await asyncio.wait({reading}, timeout=_LAST_WORDS_WITHIN_SECONDS)
                finally:
                    reading.cancel()
                    stopping.cancel()
        except OSError as error:
            _log.error("%s cannot be started: %s.", self._name, error)
            return _CANNOT_START
        finally:
            self.sign_at = monotonic()
            self._forget()
        return code

    @asynccontextmanager
    async def _separate_process(self) -> AsyncGenerator[tuple[Process, asyncio.StreamReader], None]:
        """Start it in a separate session: Ctrl-C in a terminal reaches the supervisor alone, which stops it once."""
        ours, theirs = socketpair()
        try:
            with theirs:
                self._process = process = await asyncio.create_subprocess_exec(
                    *self._command,
                    "--supervised",
                    f"{self._number}:{theirs.fileno()}",
                    stdin=DEVNULL,
                    env=self._environment,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_LINE_BYTES)
        except BaseException:
            ours.close()
            raise
        try:
            yield process, reader
        finally:
            self._writer.close()

    async def _stop(self) -> None:
        await self._stopping.wait()
        with suppress(OSError):
            cast("asyncio.StreamWriter", self._writer).write_eof()
        await asyncio.sleep(self._stop_within.total_seconds())
        _log.error("%s has not stopped within %g s, and is killed.", self._name, self._stop_within.total_seconds())
        self.kill()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            async for line in reader:
                try:
                    ((subject, value),) = from_json(line).items()
                except ValueError:  # half a line, from a process that was ended while it wrote
                    continue
                self._take(subject, value)

    def _take(self, subject: str, value: object) -> None:
        match subject, value:
            case supervised.STARTED, float(seconds):
                self._stop_within, self.could_start = timedelta(seconds=seconds), True
                self.started.set()
            case supervised.FINISHED, _:
                self._finished = True
            case supervised.ALIVE, (str() | None) as problem:
                self.sign_at, self._problem = monotonic(), problem
                if self.started.is_set() and self.sign_at - self._started_at > _RAN_WELL_SECONDS:
                    self._delays.reset()
            case target, list():
                if (answer := self._answers.pop(target, None)) is not None:
                    status, body = cast("tuple[int, object]", value)
                    answer.set_result((HTTPStatus(status), body))
            case _:
                pass

    def _forget(self) -> None:
        """Forget the process that has ended, and what it was asked."""
        self.running, self._process, self._writer = False, None, None
        self.started.clear()
        for each in self._answers.values():
            each.set_result(None)
        self._answers.clear()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was ended by {name}"
