"""The options that stand before a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from event_backbone.cli.errors import USAGE_ERROR, fail
from event_backbone.cli.project import project_of
from event_backbone.cli.version import print_version

_WITH_A_STREAM = {
    "archive",
    "dead-letters",
    "debug",
    "doctor",
    "erase",
    "explain",
    "forward",
    "group",
    "groups",
    "pending",
    "produce",
    "replay",
    "restore",
    "show",
    "tail",
    "trim",
}


def options(
    ctx: typer.Context,
    uri: Annotated[str | None, typer.Option(help="Another stream than the contract's, by its URI.")] = None,
    group: Annotated[str | None, typer.Option(help="Another consumer group than the project's.")] = None,
    version: Annotated[  # noqa: ARG001 - its callback does it all
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the versions and exit.")
    ] = False,
) -> None:
    """Let the command work on another stream or group, such as those of a worker's other subscriptions."""
    if (uri or group) and ctx.invoked_subcommand not in _WITH_A_STREAM:
        fail(f"Leave out --uri and --group: {ctx.invoked_subcommand} works with the project's own.", USAGE_ERROR)
    project = project_of(ctx)
    ctx.obj = replace(project, uri=uri or project.uri, group=group or project.group)
