"""`pending`: what the group was given and has not finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_backbone.cli.project import Project
    from event_backbone.stream.values import PendingEntry


def add_to(cli: typer.Typer, project: Project, group: str) -> None:
    """Add the command."""

    @cli.command()
    def pending(
        limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list at most.")] = 100,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """List events that are delivered and not finished, oldest first; `waiting` has those to be retried."""
        entries = run_async(_pending(project, group, limit))
        if as_json:
            for each in entries:
                idle = each.idle.total_seconds()
                print_json(
                    {"key": str(each.key), "consumer": each.consumer, "idle_seconds": idle, "attempt": each.attempt}
                )
        elif entries:
            rows = [(each.key, each.consumer, each.attempt, f"{each.idle.total_seconds():.1f} s") for each in entries]
            print_table(f"Pending in group {group}", ("Key", "Consumer", "Attempt", "For"), rows)
        else:
            print_line(f"Nothing is pending in group {group}.")

    del pending


async def _pending(project: Project, group: str, limit: int) -> Sequence[PendingEntry]:
    async with project.open_backbone() as backbone:
        return await backbone.pending(project.uri, group, count=limit)
