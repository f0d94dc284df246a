"""`archive`: copy events to the archive until a signal stops it, or once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.logs import LogLevel
from event_backbone.cli.output import counted, print_line
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
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project


def archive(
    ctx: typer.Context,
    uris: Annotated[
        list[str] | None, typer.Argument(metavar="[URI]...", help="Which streams; by default the project's.")
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Archive what is there now, say how much that was, and end.")
    ] = False,
    health_port: HealthPort = None,
    health_host: HealthHost = None,
    log_level: LeastSevere = LogLevel.INFO,
) -> None:
    """Copy events to the archive until Ctrl-C or SIGTERM, without handling any."""
    project = project_of(ctx)
    if once and (health_port is not None or health_host is not None):
        fail("Give --once or a health port, not both.", USAGE_ERROR)
    project.configure_logging(log_level.number)
    streams = list(dict.fromkeys(uris or [project.uri]))
    run_async(_once(project, streams) if once else _archive(project, streams, (health_host, health_port)))


async def _archive(project: Project, uris: Sequence[str], health: HealthOptions) -> None:
    from event_backbone.worker import Worker  # noqa: PLC0415 - only what runs for long pays for it

    settings = project.load_settings()
    address = health_address(project, settings, health)
    async with project.open_backbone(settings) as backbone:
        await run_until_signal(Worker(*(backbone.archiver(each) for each in uris)), backbone, address)
    start_exit_watchdog()


async def _once(project: Project, uris: Sequence[str]) -> None:
    async with project.open() as backbone:
        for uri in uris:
            print_line(await _committed(backbone, uri, f"{project.name} restore {uri}"))


async def _committed(backbone: Backbone, uri: str, restore: str) -> str:
    """Archive what is in a stream, and return a sentence about it; an outage ends the command, at its beginning."""
    if (await backbone.archive_state(uri)).events_lost:
        fail(f"Redis has lost events of stream {uri} that the archive has; restore them with: {restore}")
    async with backbone.archiver(uri) as archiver:
        await archiver.commit()
        events = archiver.handled
    committed = (await backbone.archive_state(uri)).committed
    if committed is None:
        return f"Stream {uri} has no events to archive."
    if not events:
        return f"Nothing new: stream {uri} is archived up to {committed}."
    return f"Archived {counted(events, 'event')} of {uri}, up to {committed}."
