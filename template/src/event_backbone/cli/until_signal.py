"""Runs a worker until a signal stops it, with its health port: what `worker`, `archive` and `forward` share."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, cast

import typer

from event_backbone.cli.logs import LogLevel

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.cli.supervised import Supervised
    from event_backbone.web.worker_health import Routes
    from event_backbone.worker import Worker

HealthPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Serve /health/live, /health/ready and /lag; 0 takes a free port."),
]
HealthHost = Annotated[str | None, typer.Option(help="The address for the health port.")]
LeastSevere = Annotated[LogLevel, typer.Option(help="The least severe level that is logged.")]
HealthOptions = tuple[str | None, int | None]
"""Host and port as they were given; None leaves them to the settings."""

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_REDELIVERED = ": events whose handlers were running will be delivered again"


def health_address(project: Project, settings: object, given: HealthOptions) -> tuple[str, int | None]:
    """Return where to serve health; without a port it is not served."""
    host, port = project.worker_health_address(settings)
    return given[0] or host, port if given[1] is None else given[1]


async def run_until_signal(
    opening: AbstractAsyncContextManager[Worker],
    backbone: Backbone,
    health: tuple[str, int | None],
    *,
    until_empty: bool = False,
    supervised: Supervised | None = None,
) -> None:
    """Enter a worker and run it until the first SIGINT or SIGTERM; a second one ends the process at once.

    With ``until_empty``, it also ends when no group has anything left and everything is archived. A ``supervised``
    one serves no health: it tells its supervisor, as well as that it has started, or has ended by itself.
    """
    from event_backbone.web.worker_health import worker_routes  # noqa: PLC0415 - only what runs for long pays for it

    async with AsyncExitStack() as stack:
        _cancel_on_signal()  # as S3 may keep an archiver from starting, while handlers run already
        worker = await stack.enter_async_context(opening)
        stopped = _stop_on_signal(worker)
        if supervised is not None:
            supervised.started(worker, backbone)
        else:
            await stack.enter_async_context(serve_health(worker_routes(worker, backbone), health))
        for subscription in worker.subscriptions:
            _log.info("Handling events of %s as group %s.", subscription.uri, subscription.group)
        for projector in worker.projectors:
            _log.info("Keeping the view of projection %s up to date with %s.", projector.name, projector.uri)
        for archiver in worker.archivers:
            _log.info("Archiving %s.", archiver.uri)
        for forwarder in worker.forwarders:
            _log.info("Forwarding %s to %s, as link %s.", forwarder.uri, forwarder.target, forwarder.name)
        await (_wait_until_empty(worker) if until_empty else worker.wait())
        if supervised is not None and not (stopped.is_set() or supervised.stopped):
            supervised.finished()
        _log.info("Stopped.")


async def _wait_until_empty(worker: Worker) -> None:
    ended, idle = asyncio.create_task(worker.wait()), asyncio.create_task(worker.until_idle())
    try:
        await asyncio.wait({ended, idle}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await idle
            worker.stop()
        await ended
    finally:
        idle.cancel()
        await asyncio.wait({idle})


def _cancel_on_signal() -> None:
    """Cancel this task on a signal, which stops what has been started."""
    loop, task = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task())
    for each in _SIGNALS:
        loop.add_signal_handler(each, task.cancel)


def _stop_on_signal(worker: Worker) -> asyncio.Event:
    """Stop gracefully on the first signal, which sets the event."""
    stopped = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        first = "running handlers finish first" if worker.subscriptions else "the request under way finishes first"
        _log.info("Stopping on %s: %s.", number.name, first)
        stopped.set()
        worker.stop()

    def end(number: signal.Signals) -> None:
        _log.warning("Ending at once on a second %s%s.", number.name, _REDELIVERED if worker.subscriptions else "")

    on_signals(stop, end)
    return stopped


def on_signals(stop: Callable[[signal.Signals], None], end: Callable[[signal.Signals], None]) -> None:
    """Call ``stop`` on the first signal, and ``end`` on the second one, which then ends the process as by default."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            loop.add_signal_handler(each, second, each)
        stop(number)

    def second(number: signal.Signals) -> None:
        end(number)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for each in _SIGNALS:
        loop.add_signal_handler(each, first, each)


@asynccontextmanager
async def serve_health(routes: Routes, address: tuple[str, int | None]) -> AsyncGenerator[None, None]:
    """Serve health and lag while the block runs, and log where; without a port they are not served.

    Raises:
        ConfigurationError: the port is taken or not permitted.
    """
    host, port = address
    if port is None:
        yield
        return
    from event_backbone.web.worker_health import serve_routes  # noqa: PLC0415 - as above

    async with serve_routes(routes, host=host, port=port) as listening:
        _log.info("Health is served at http://%s:%d/health/ready.", host, listening)
        yield
