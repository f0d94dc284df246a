"""`pending`: list what was delivered to the group and is not finished."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import print_json, print_line, print_table, when
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
    """List events that were delivered but not finished, oldest first: with a consumer, or waiting for a retry."""
    project = project_of(ctx)
    entries = run_async(_pending(project, limit))
    if as_json:
        for each in entries:
            print_json(_facts(each))
    elif entries:
        rows = [(each.key, each.attempt, _state(each)) for each in entries]
        print_table(f"Pending in group {project.group}", ("Key", "Attempts", "State"), rows)
    else:
        print_line(f"Nothing is pending in group {project.group}.")


async def _pending(project: Project, limit: int) -> Sequence[PendingEntry]:
    async with project.open() as backbone:
        return await backbone.pending(project.uri, required(project.group), count=limit)


def _facts(entry: PendingEntry) -> dict[str, object]:
    about: dict[str, object] = {"key": str(entry.key), "attempts": entry.attempt}
    if entry.consumer is None:
        return about | {"state": "waiting", "due_at": entry.due}
    return about | {"state": "delivered", "consumer": entry.consumer, "delivered_at": _since(entry)}


def _state(entry: PendingEntry) -> str:
    if entry.due is not None:
        return f"waiting until {when(entry.due)}"
    return f"with {entry.consumer} since {when(_since(entry))}"


def _since(entry: PendingEntry) -> datetime:
    return datetime.now(UTC) - entry.idle
