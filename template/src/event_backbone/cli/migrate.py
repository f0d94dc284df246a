"""`migrate`: move the payloads of events into the storage that new ones go to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.asking import confirmed
from event_backbone.cli.errors import FAILED, USAGE_ERROR, fail, run_async
from event_backbone.cli.output import counted, print_line
from event_backbone.cli.progress import progress_bar
from event_backbone.cli.project import project_of

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.migration.report import MigrationReport, StorageReferences


def migrate(
    ctx: typer.Context,
    uris: Annotated[
        list[str] | None, typer.Argument(metavar="[URI]...", help="The URIs to migrate (default: the project's).")
    ] = None,
    *,
    away_from: Annotated[
        str, typer.Option("--from", metavar="STORAGE", help="The name of the storage to move payloads from.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be moved.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete the old Redis hashes, once nothing refers to them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before moving.")] = False,
) -> None:
    """Move the payloads of all events of a stream into the storage that new ones go to; may be run again at any time.

    Producers and workers keep running. Fails if something still refers to the old storage at the end.
    """
    project = project_of(ctx)
    names = list(dict.fromkeys(uris or [project.uri]))
    left = run_async(_migrate(project, names, away_from, dry_run=dry_run, remove=remove, ask=not yes))
    if left and not dry_run:
        raise typer.Exit(FAILED)


async def _migrate(
    project: Project, uris: Sequence[str], away_from: str, *, dry_run: bool, remove: bool, ask: bool
) -> bool:
    left = False
    async with project.open() as backbone:
        for uri in uris:
            plan = await backbone.migrate(uri, away_from=away_from, dry_run=True)
            for line in plan_lines(plan):
                print_line(line)
            if dry_run or (plan.still.nothing and not remove):
                continue
            if ask:
                _ask(plan)
            report = await _run(backbone, uri, away_from, remove=remove)
            for line in report_lines(report):
                print_line(line)
            left = left or not report.still.nothing
    return left


async def _run(backbone: Backbone, uri: str, away_from: str, *, remove: bool) -> MigrationReport:
    with progress_bar() as bar:
        return await backbone.migrate(
            uri,
            away_from=away_from,
            remove=remove,
            on_progress=lambda each: bar.show("moving payloads", each.done, each.total),
        )


def _ask(plan: MigrationReport) -> None:
    if not sys.stdin.isatty():
        fail("Give --yes to move payloads without being asked.", USAGE_ERROR)
    if not confirmed(f"Move the payloads from {plan.away_from!r} to {plan.to!r}?"):
        fail("Nothing was moved.")


def referring(still: StorageReferences) -> str:
    """Return what refers to a storage."""
    text = f"{counted(still.events, 'event')} and {counted(still.dead_letters, 'dead letter')}"
    if still.elsewhere:
        text += f", {still.elsewhere:,} of them about events that are only in the archive"
    return text


def plan_lines(plan: MigrationReport) -> list[str]:
    """Return what is said before a migration."""
    if plan.still.nothing:
        return [f"{plan.uri}: nothing refers to {plan.away_from}, so there is nothing to move."]
    return [f"{plan.uri}: {referring(plan.still)} refer to {plan.away_from}; they move to {plan.to}."]


def report_lines(report: MigrationReport) -> list[str]:
    """Return what is said after a migration: what was moved, and what was not."""
    lines = [f"  Moved {counted(report.moved, 'payload')}, each compared with its original."]
    if report.erased:
        lines.append(f"  {counted(report.erased, 'payload')} had been erased, and stay so.")
    if report.gone:
        lines.append(f"  {counted(report.gone, 'payload')} had been gone before.")
    if report.dead_letters:
        lines.append(f"  Moved {counted(report.dead_letters, 'dead letter')}.")
    if report.removed:
        lines.append(f"  Deleted {report.removed:,} old hashes.")
    if not report.still.nothing:
        lines.append(f"  Still in {report.away_from}: {referring(report.still)}; run it again.")
    if report.still.elsewhere:
        lines.append("  What is only in the archive does not move: redrive or discard it.")
    lines.append(f"  Done in {report.took.total_seconds():.1f} s.")
    return lines
