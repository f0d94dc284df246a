"""`worker`: handle events until a signal stops it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.demo.journal import Journal
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.project import project_of
from event_backbone.cli.until_signal import (
    HealthHost,
    HealthOptions,
    HealthPort,
    LeastSevere,
    health_address,
    run_until_signal,
)

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def worker(
    ctx: typer.Context,
    *,
    health_port: HealthPort = None,
    health_host: HealthHost = None,
    log_level: LeastSevere = LogLevel.INFO,
    no_archive: Annotated[bool, typer.Option("--no-archive", help="Leave archiving to other processes.")] = False,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Stop when nothing is left, as for a job.")
    ] = False,
    journal: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Handle events until Ctrl-C or SIGTERM; a second one ends the process at once."""
    project = project_of(ctx)
    if no_archive and not project.archives:
        fail("Leave out --no-archive: this project has no archive.", USAGE_ERROR)
    project.configure_logging(log_level.number)
    written = None if journal is None else Journal(journal)
    run_async(_work(project, (health_host, health_port), written, archive=not no_archive, until_empty=until_empty))


async def _work(
    project: Project, health: HealthOptions, journal: Journal | None, *, archive: bool, until_empty: bool
) -> None:
    interceptors = () if journal is None else (journal.interceptor,)
    settings = project.load_settings()
    address = health_address(project, settings, health)
    async with project.open_backbone(settings, handle_interceptors=interceptors) as backbone:
        opening = project.worker(settings, backbone, archive=archive)
        await run_until_signal(opening, backbone, address, until_empty=until_empty)
    start_exit_watchdog()
