"""A worker process's connection to its supervisor, a socket that it inherits.

The supervisor writes what it is asked over HTTP, such as ``/lag?group=mailer``, one a line. The process writes JSON
objects, one a line: that it has started, every second whether it is alive, the answers, and that it has finished by
itself. When the supervisor ends, however it does, or ends what it writes, the process stops gracefully.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from socket import MSG_DONTWAIT, socket
from typing import TYPE_CHECKING, Self, cast
from urllib.parse import parse_qs

from pydantic_core import to_json

from event_backbone.cli.exit_watchdog import end_process
from event_backbone.logs import name_worker
from event_backbone.web.readiness import why_not_alive
from event_backbone.web.worker_health import Routes, worker_routes

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.worker import Worker

STARTED, ALIVE, FINISHED = "started", "alive", "finished"
STOP_WITHIN = timedelta(seconds=25)
"""How long a stop takes at most with the default ``drain``."""
BEYOND_DRAIN = timedelta(seconds=5)
"""How much longer than ``drain`` a stop takes at most, with the end of the process."""

_EVERY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Supervised:
    """This worker process as one of several under a supervisor.

    Attributes:
        stopped: whether the supervisor has stopped it.
    """

    def __init__(self, connection: socket) -> None:
        """Prepare; nothing is read or written before ``connected``."""
        self.stopped = False
        self._connection = connection
        self._worker: Worker | None = None
        self._routes: Routes = {}
        self._stop: Callable[[], object] = lambda: None
        self._stop_within = STOP_WITHIN
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what the supervisor gave as an option, number and descriptor as ``2:7``; logs then name the process."""
        number, _, descriptor = text.partition(":")
        connection = socket(fileno=int(descriptor))
        connection.set_inheritable(False)
        name_worker(int(number))
        return cls(connection)

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None, None]:
        """Say every second that the event loop runs. A stop cancels this task, until a worker has started."""
        self._stop = cast("asyncio.Task[None]", asyncio.current_task()).cancel
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), name="event-backbone-supervised", daemon=True).start()
        saying = asyncio.create_task(self._say_alive())
        try:
            yield
        finally:
            saying.cancel()

    def started(self, worker: Worker, backbone: Backbone) -> None:
        """Say that the worker runs. From now on a stop stops the worker, and the supervisor may ask."""
        self._worker, self._routes = worker, worker_routes(worker, backbone)
        self._stop_within = worker.drain + BEYOND_DRAIN
        self._say(STARTED, self._stop_within.total_seconds())
        self._stop = worker.stop
        if self.stopped:
            worker.stop()

    def finished(self) -> None:
        """Say that the worker has ended by itself, and is not to be started again."""
        self._say(FINISHED, value=True)

    async def _say_alive(self) -> None:
        while True:
            self._say(ALIVE, why_not_alive(self._worker))
            await asyncio.sleep(_EVERY_SECONDS)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from a thread, so that a blocked event loop cannot outlive the supervisor."""
        with suppress(OSError, RuntimeError), self._connection.makefile("rb") as lines:
            for line in lines:
                loop.call_soon_threadsafe(self._ask, line.decode().strip())
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(self._end)
        time.sleep(self._stop_within.total_seconds())
        end_process("The worker has not stopped in time; the process ends without it.")

    def _end(self) -> None:
        self.stopped = True
        _log.info("Stopping, as the supervisor stops or has ended.")
        self._stop()

    def _ask(self, target: str) -> None:
        task = asyncio.create_task(self._answer(target))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, target: str) -> None:
        path, _, query = target.partition("?")
        self._say(target, await self._routes[path](parse_qs(query)))

    def _say(self, subject: str, value: object) -> None:
        # A supervisor that is suspended takes nothing: what does not fit is left out, as more will follow.
        with suppress(OSError):
            self._connection.send(to_json({subject: value}) + b"\n", MSG_DONTWAIT)
