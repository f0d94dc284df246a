"""`dead-letters list` and `dead-letters redrive`: the events that the group gave up on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.dead_letters import DeadEvent

_Reason = Annotated[str | None, typer.Option(help="Only those with this reason, such as rejected.")]


def list_dead_letters(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list at most.")] = 100,
    reason: _Reason = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List dead letters, oldest first."""
    project = project_of(ctx)
    letters = run_async(_list(project, limit, reason))
    if as_json:
        for each in letters:
            print_json(_facts(each))
    elif letters:
        rows = [list(_row(each).values()) for each in letters]
        columns = ("Id", "Key", "Event", "Reason", "Detail", "Error", "Attempts", "Failed at")
        print_table(f"Dead letters of group {project.group}", columns, rows)
    else:
        print_line(f"Group {project.group} has no dead letters.")


def redrive(
    ctx: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of dead letters, as `list` shows them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that there are now.")] = False,
    reason: _Reason = None,
) -> None:
    """Deliver events to this group again, as if for the first time."""
    if bool(ids) == (everything or reason is not None):
        fail("Name the dead letters to redrive by their ids, or give --all or --reason.", USAGE_ERROR)
    project = project_of(ctx)
    run_async(_redrive_all(project, reason) if not ids else _redrive(project, ids))


async def _list(project: Project, limit: int, reason: str | None) -> list[DeadEvent]:
    async with project.open() as backbone:
        letters = backbone.dead_letters(project.uri, required(project.group)).list(limit, reason=reason)
        return [each async for each in letters]


async def _redrive_all(project: Project, reason: str | None) -> None:
    async with project.open() as backbone:
        redriven = await backbone.dead_letters(project.uri, required(project.group)).redrive_all(reason)
    _print_redriven(redriven.events)
    if redriven.not_found:
        keys = ", ".join(map(str, redriven.not_found))
        fail(f"Not redriven, because these events are no longer in the stream: {keys}.")


async def _redrive(project: Project, ids: list[str]) -> None:
    async with project.open() as backbone:
        dead_letters = backbone.dead_letters(project.uri, required(project.group))
        missing = [each for each in ids if not await dead_letters.redrive(each)]
    _print_redriven(len(ids) - len(missing))
    if missing:
        fail(f"There is no dead letter {', '.join(missing)}; see: {project.name} dead-letters list")


def _print_redriven(events: int) -> None:
    print_line(f"{events} redriven: a running worker handles them within a second." if events else "0 redriven.")


def _row(letter: DeadEvent) -> dict[str, object]:
    """Return the cells of a table; one shows the error and its place."""
    facts = _facts(letter)
    del facts["place"]
    return facts | {"error": "\n".join([letter.error, *letter.place])}


def _facts(letter: DeadEvent) -> dict[str, object]:
    return {
        "id": letter.id,
        "key": str(letter.key),
        "event": None if letter.metadata is None else letter.metadata.event,
        "reason": letter.reason,
        "detail": letter.detail,
        "error": letter.error,
        "place": letter.place,
        "attempts": letter.attempts,
        "failed_at": letter.failed_at,
    }
