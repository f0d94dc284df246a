"""`worker --processes`: starts several worker processes, keeps them running, and speaks for all of them."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from event_backbone.cli.until_signal import on_signals, serve_health
from event_backbone.cli.worker_process import WorkerProcess
from event_backbone.web.worker_health import LAG, LIVE, READY, Answer, Query, health_answer

if TYPE_CHECKING:
    from signal import Signals

_OTHERS_AFTER_SECONDS = 10.0
_KILLED = 128
"""What a shell adds to the signal that ended a process."""
_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_INSTANCE = "service.instance.id"

_log = logging.getLogger(__name__)


async def supervise(command: Sequence[str], count: int, health: tuple[str, int | None]) -> int:
    """Run so many processes of this command until a signal stops them, or all have finished; return the exit code.

    It is the worst of theirs. A process that ends before it should is started again, with growing delays. The first
    one starts alone: if it cannot, or later none of them can, that is the end of all.

    The first signal lets all of them finish what runs, within the time that one would take; a second one ends them at
    once. They also stop when this process ends, however it does.

    Raises:
        ConfigurationError: the health port is taken or not permitted.
    """
    return await _Supervisor(command, count).run(health)


class _Supervisor:
    def __init__(self, command: Sequence[str], count: int) -> None:
        self._stopping = asyncio.Event()
        instance = uuid.uuid4().hex
        self._processes = [
            WorkerProcess(number, command, os.environ | named_instance(os.environ, instance, number), self._stopping)
            for number in range(1, count + 1)
        ]

    async def run(self, health: tuple[str, int | None]) -> int:
        on_signals(self._stop, self._end)
        async with serve_health({LIVE: self._live, READY: self._ready, LAG: self._lag}, health):
            _log.info("Running %d worker processes.", len(self._processes))
            codes = await self._run_all()
            _log.info("Stopped.")
        return max(code if code >= 0 else _KILLED - code for code in codes)

    async def _run_all(self) -> list[int]:
        first, *others = self._processes
        runs = [asyncio.create_task(first.run(self._none_can_start))]
        try:
            await self._wait_for_start(first, runs[0])
            if not self._stopping.is_set():
                runs += [asyncio.create_task(each.run(self._none_can_start)) for each in others]
            return await asyncio.gather(*runs)
        finally:
            self._stopping.set()
            await asyncio.wait(runs)

    async def _wait_for_start(self, first: WorkerProcess, run: asyncio.Task[int]) -> None:
        started = asyncio.create_task(first.started.wait())
        await asyncio.wait({started, run}, timeout=_OTHERS_AFTER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()

    def _none_can_start(self) -> bool:
        """Stop if no process runs, and none could start when it last tried: a restart would not help."""
        if any(each.running or each.could_start for each in self._processes):
            return False
        self._stopping.set()
        return True

    def _stop(self, number: Signals) -> None:
        _log.info("Stopping on %s: running handlers finish first.", number.name)
        self._stopping.set()

    def _end(self, number: Signals) -> None:
        _log.warning("Ending all worker processes at once on a second %s.", number.name)
        for each in self._processes:
            each.kill()

    async def _live(self, _: Query) -> Answer:
        return health_answer(next(filter(None, (each.why_not_alive() for each in self._processes)), None))

    async def _ready(self, _: Query) -> Answer:
        problems = await asyncio.gather(*(each.why_not_ready() for each in self._processes))
        return health_answer(next(filter(None, problems), None))

    async def _lag(self, query: Query) -> Answer:
        """Ask the process that has shown last that it lives: the answer of each would be the same."""
        started = [each for each in self._processes if each.started.is_set()]
        latest = max(started, key=lambda each: each.sign_at, default=None)
        answer = latest and await latest.ask(f"{LAG}?{urlencode(query, doseq=True)}")
        return answer or (HTTPStatus.SERVICE_UNAVAILABLE, {"detail": "No worker process answers at the moment."})


def named_instance(environment: Mapping[str, str], instance: str, number: int) -> dict[str, str]:
    """Return the variable that names one process to OpenTelemetry, as two of one name overwrite each other's metrics.

    The name is ``instance``, unless the variable has another one already, with the process's number.
    """
    given = [each for each in environment.get(_ATTRIBUTES, "").split(",") if each.strip()]
    named = [each.partition("=")[2].strip() for each in given if each.partition("=")[0].strip() == _INSTANCE]
    others = [each for each in given if each.partition("=")[0].strip() != _INSTANCE]
    return {_ATTRIBUTES: ",".join([*others, f"{_INSTANCE}={(named or [instance])[-1]}-{number}"])}
