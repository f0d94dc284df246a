"""`pending`: list what was delivered to the group and is not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_backbone.cli.project import Project
    from event_backbone.stream.values import PendingEntry


def pending(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List events that were delivered but not finished, oldest first; consumer `waiting` has those to be retried."""
    project = project_of(ctx)
    entries = run_async(_pending(project, limit))
    if as_json:
        for each in entries:
            idle = each.idle.total_seconds()
            print_json({"key": str(each.key), "consumer": each.consumer, "idle_seconds": idle, "attempt": each.attempt})
    elif entries:
        rows = [(each.key, each.consumer, each.attempt, f"{each.idle.total_seconds():.1f} s") for each in entries]
        print_table(f"Pending in group {project.group}", ("Key", "Consumer", "Attempt", "Idle"), rows)
    else:
        print_line(f"Nothing is pending in group {project.group}.")


async def _pending(project: Project, limit: int) -> Sequence[PendingEntry]:
    async with project.open() as backbone:
        return await backbone.pending(project.uri, required(project.group), count=limit)
