"""`health`: ask the web API, or the worker or archiver, of this machine whether it is alive, or ready."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.project import project_of
from event_backbone.errors import ConfigurationError
from event_backbone.web.probe import API, WORKER, check_health, leave

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


class Process(StrEnum):
    """What can be asked."""

    API = API
    WORKER = WORKER


def health(
    ctx: typer.Context,
    process: Annotated[
        Process | None,
        typer.Argument(
            help="Which one must be healthy (an archiver counts as worker); without it, whichever is running."
        ),
    ] = None,
    ready: Annotated[bool, typer.Option("--ready", help="Whether it can work, too, and not only lives.")] = False,
) -> None:
    """Ask the running web API, worker or archiver for its health, for probes; exit code 1 when it is not healthy."""
    addresses = _addresses(project_of(ctx))
    chosen = list(addresses) or [WORKER] if process is None else [process.value]
    if missing := next((each for each in chosen if each not in addresses), None):
        raise ConfigurationError(_MISSING[missing])
    leave(check_health({each: addresses[each] for each in chosen}, ready=ready))


_MISSING = {
    API: "The project has no web API.",
    WORKER: "Set WORKER_HEALTH_PORT, for the worker or archiver and for this command: without it no health is served.",
}


def _addresses(project: Project) -> dict[str, tuple[str, int]]:
    settings = project.load_settings()
    found: dict[str, tuple[str, int]] = {}
    if project.api is not None:
        found[API] = project.api_address(settings)
    if project.has_worker_health:
        host, port = project.worker_health_address(settings)
        if port is not None:
            found[WORKER] = host, port
    return found
