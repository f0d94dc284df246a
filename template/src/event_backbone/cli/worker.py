"""`worker`: handle events until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.journal import Journal
from event_backbone.cli.logs import LogLevel, configure_logging
from event_backbone.cli.process_end import end_soon

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.subscription import Subscription

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Subscribe = Callable[["Backbone"], AbstractAsyncContextManager["Subscription"]]


def add_to(cli: typer.Typer, project: Project, subscribe: Subscribe) -> None:
    """Add the command."""

    @cli.command()
    def worker(
        health_port: Annotated[
            int | None,
            typer.Option(min=0, max=65535, help="Serve /health/live and /health/ready here; 0 takes a free port."),
        ] = None,
        health_host: Annotated[str, typer.Option(help="The address for the health port.")] = "127.0.0.1",
        log_level: Annotated[LogLevel, typer.Option(help="How much is logged.")] = LogLevel.INFO,
        journal: Annotated[int | None, typer.Option(hidden=True)] = None,
    ) -> None:
        """Handle events until Ctrl-C or SIGTERM; a second one ends at once what is still running."""
        configure_logging(log_level)
        if health_port is None and project.health_port is not None:
            health_port = project.health_port()
        address = None if health_port is None else (health_host, health_port)
        run_async(_work(project, subscribe, address, None if journal is None else Journal(journal)))

    del worker


async def _work(
    project: Project, subscribe: Subscribe, health_address: tuple[str, int] | None, journal: Journal | None
) -> None:
    interceptors = () if journal is None else (journal.interceptor,)
    async with contextlib.AsyncExitStack() as stack:
        backbone = await stack.enter_async_context(project.open_backbone(handle_interceptors=interceptors))
        subscription = await stack.enter_async_context(subscribe(backbone))
        _stop_on_signal(subscription)
        if health_address is not None:
            from event_backbone.web.worker_health import serve_worker_health  # noqa: PLC0415 - only for this option

            host, port = health_address
            port = await stack.enter_async_context(serve_worker_health(subscription, backbone, host=host, port=port))
            _log.info("Health is served at http://%s:%d/health/ready.", host, port)
        _log.info("Handling events of %s as group %s.", project.uri, project.group)
        await subscription.wait()
        _log.info("Stopped.")
    end_soon()


def _stop_on_signal(subscription: Subscription) -> None:
    """Stop in order on the first signal; on the second one let it end the process, as it would have."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        for each in _SIGNALS:
            loop.remove_signal_handler(each)
            loop.add_signal_handler(each, end, each)
        _log.info("Stopping on %s: what runs is finished first.", number.name)
        subscription.stop()

    def end(number: signal.Signals) -> None:
        _log.warning("Ending at once on a second %s: what ran is delivered again.", number.name)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for each in _SIGNALS:
        loop.add_signal_handler(each, stop, each)
