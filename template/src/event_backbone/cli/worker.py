"""`worker`: handle events until a signal stops it, in one process or in several."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.demo.journal import Journal
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.project import project_of
from event_backbone.cli.until_signal import (
    HealthHost,
    HealthPort,
    LeastSevere,
    health_address,
    run_until_signal,
)

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.cli.supervised import Supervised

MOST_PROCESSES = 256


def worker(
    ctx: typer.Context,
    *,
    processes: Annotated[
        int | None, typer.Option(min=1, max=MOST_PROCESSES, help="How many processes share the events.")
    ] = None,
    health_port: HealthPort = None,
    health_host: HealthHost = None,
    log_level: LeastSevere = LogLevel.INFO,
    no_archive: Annotated[bool, typer.Option("--no-archive", help="Leave archiving to other processes.")] = False,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Stop when nothing is left, as for a job.")
    ] = False,
    journal: Annotated[int | None, typer.Option(hidden=True)] = None,
    supervised: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Handle events until Ctrl-C or SIGTERM; a second one ends the process at once."""
    project = project_of(ctx)
    if no_archive and not project.archives:
        fail("Leave out --no-archive: this project has no archive.", USAGE_ERROR)
    under = None if supervised is None else _supervised(supervised)
    project.configure_logging(log_level.number)
    settings = project.load_settings()
    health = health_address(project, settings, (health_host, health_port))
    count = project.worker_processes(settings) if processes is None else processes
    if count > 1 and under is None and journal is None:
        flags = [*(["--no-archive"] if no_archive else []), *(["--until-empty"] if until_empty else [])]
        _supervise(project, ["--log-level", log_level.value, *flags], count, health)
    else:
        written = None if journal is None else Journal(journal)
        run_async(_work(project, settings, health, written, under, archive=not no_archive, until_empty=until_empty))


def _supervised(option: str) -> Supervised:
    from event_backbone.cli.supervised import Supervised  # noqa: PLC0415 - only for this option

    return Supervised.parse(option)


def _supervise(project: Project, options: list[str], count: int, health: tuple[str, int | None]) -> None:
    """Run processes of this command, each a new interpreter, and leave with the worst of their exit codes."""
    from event_backbone.cli.supervisor import supervise  # noqa: PLC0415 - only for this option

    command = [sys.executable, "-m", project.module, "worker", *options]
    raise SystemExit(run_async(supervise(command, count, health)))


async def _work(
    project: Project,
    settings: object,
    health: tuple[str, int | None],
    journal: Journal | None,
    supervised: Supervised | None,
    *,
    archive: bool,
    until_empty: bool,
) -> None:
    interceptors = () if journal is None else (journal.interceptor,)
    async with AsyncExitStack() as stack:
        if supervised is not None:
            await stack.enter_async_context(supervised.connected())
        backbone = await stack.enter_async_context(project.open_backbone(settings, handle_interceptors=interceptors))
        opening = project.worker(settings, backbone, archive=archive)
        await run_until_signal(opening, backbone, health, until_empty=until_empty, supervised=supervised)
    start_exit_watchdog()
