"""`worker`: handle events until a signal stops it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.demo.journal import Journal
from event_backbone.cli.errors import run_async
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.worker import Worker

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def worker(
    ctx: typer.Context,
    health_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Serve /health/live and /health/ready here; 0 takes a free port."),
    ] = None,
    health_host: Annotated[str, typer.Option(help="The address for the health port.")] = "127.0.0.1",
    log_level: Annotated[LogLevel, typer.Option(help="The least severe level that is logged.")] = LogLevel.INFO,
    journal: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Handle events until Ctrl-C or SIGTERM; a second one ends the process at once."""
    project = project_of(ctx)
    project.configure_logging(log_level.number)
    run_async(_work(project, (health_host, health_port), None if journal is None else Journal(journal)))


async def _work(project: Project, health: tuple[str, int | None], journal: Journal | None) -> None:
    interceptors = () if journal is None else (journal.interceptor,)
    settings = project.load_settings()
    host, port = health
    if port is None and project.health_port is not None:
        port = project.health_port(settings)
    async with contextlib.AsyncExitStack() as stack:
        backbone = await stack.enter_async_context(project.open_backbone(settings, handle_interceptors=interceptors))
        worker = await stack.enter_async_context(required(project.open_worker)(settings, backbone))
        _stop_on_signal(worker)
        if port is not None:
            from event_backbone.web.worker_health import serve_worker_health  # noqa: PLC0415 - only for this option

            port = await stack.enter_async_context(serve_worker_health(worker, backbone, host=host, port=port))
            _log.info("Health is served at http://%s:%d/health/ready.", host, port)
        for each in worker.subscriptions:
            _log.info("Handling events of %s as group %s.", each.uri, each.group)
        await worker.wait()
        _log.info("Stopped.")
    start_exit_watchdog()


def _stop_on_signal(worker: Worker) -> None:
    """Stop gracefully on the first signal; let the second one end the process, as it would have by default."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            loop.add_signal_handler(each, end, each)
        _log.info("Stopping on %s: running handlers finish first.", number.name)
        worker.stop()

    def end(number: signal.Signals) -> None:
        _log.warning(
            "Ending at once on a second %s: events whose handlers were running will be delivered again.", number.name
        )
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for each in _SIGNALS:
        loop.add_signal_handler(each, stop, each)
