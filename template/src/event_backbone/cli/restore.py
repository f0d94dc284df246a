"""`restore`: bring back to Redis what archive and packs have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import moment_of
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import counted, print_line, when
from event_backbone.cli.progress import progress_bar
from event_backbone.cli.project import project_of

if TYPE_CHECKING:
    from event_backbone.archive.restore_report import RestorePlan, RestoreReport
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.model import EventKey


def restore(
    ctx: typer.Context,
    uris: Annotated[
        list[str] | None, typer.Argument(metavar="[URI]...", help="The URIs to restore (default: the project's).")
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Search packs from this time on, such as 2025-01-31T12:00:00Z, for what a failover lost long ago.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring back to Redis all events that the archive and packs in S3 have; may be run again at any time.

    Producers and workers keep running.
    """
    project = project_of(ctx)
    moment = None if since is None else moment_of(since)
    if since is not None and moment is None:
        fail(f"{since[:60]!r} is not a valid time; give one such as 2025-01-31T12:00:00Z.", USAGE_ERROR)
    run_async(_restore(project, list(dict.fromkeys(uris or [project.uri])), moment, dry_run=dry_run))


async def _restore(project: Project, uris: Sequence[str], since: datetime | None, *, dry_run: bool) -> None:
    async with project.open() as backbone:
        for uri in uris:
            plan = await backbone.plan_restore(uri, since=since)
            for line in plan_lines(plan):
                print_line(line)
            if not dry_run and not plan.nothing_to_do:
                for line in report_lines(await _run(backbone, uri, uris, since)):
                    print_line(line)


async def _run(backbone: Backbone, uri: str, uris: Sequence[str], since: datetime | None) -> RestoreReport:
    with progress_bar() as bar:
        return await backbone.restore(
            uri,
            since=since,
            follow_ups_in=uris,
            on_progress=lambda each: bar.show(each.step, each.done, each.total),
        )


def plan_lines(plan: RestorePlan) -> list[str]:
    """Return what is said before a restore: what there is, what is lost, and what will be done."""
    lines = [f"{plan.uri}:", f"  Redis has {counted(plan.live, 'event')}."]
    if plan.archived is None:
        lines.append("  There is no archive: only events in packs come back, and groups begin at the beginning.")
    elif plan.committed is None:
        lines.append("  The archive is empty.")
    else:
        lines.append(f"  The archive has {counted(plan.archived, 'event')}, up to {_key(plan.committed)}.")
    if plan.events_lost:
        lines.append("  Redis has lost archived events: the stream is built again, with their keys.")
        if plan.restored_from is not None:
            earlier = counted(plan.archive_only, "earlier event")
            stay = "stays" if plan.archive_only == 1 else "stay"
            lines.append(
                f"  Events from {_key(plan.restored_from)} on come back; {earlier} {stay} in the archive alone."
            )
        lines += [f"  Group {name} goes on after {_key(key)}." for name, key in plan.groups.items()]
    if plan.lost:
        lines.append(f"  Packs have {counted(plan.lost, 'more event')}: appended under new keys.")
    if plan.nothing_to_do:
        lines.append("  Nothing is lost, so there is nothing to restore.")
    elif plan.unlisted:
        since = "" if plan.committed is None else f" after {_key(plan.committed)}"
        lines.append(f"  What only {' and '.join(plan.unlisted)} had{since} cannot come back.")
    return lines


def report_lines(report: RestoreReport) -> list[str]:
    """Return what is said after a restore: what was done, and what could not be."""
    lines: list[str] = []
    if report.archived:
        lines.append(f"  Restored {counted(report.archived, 'event')} from the archive.")
    if report.restored_from is not None:
        left = counted(report.archive_only, "event")
        lines.append(f"  Left {left} before {_key(report.restored_from)} in the archive alone.")
    if report.appended:
        lines.append(f"  Appended {counted(report.appended, 'event')} from packs.")
    if report.moved:
        lines.append(f"  Gave new keys to {counted(report.moved, 'live event')}, as a clock was behind.")
    if report.duplicates:
        lines.append(f"  Left out {counted(report.duplicates, 'live event')} that the archive has already.")
    if report.dead_letters:
        lines.append(f"  Restored {counted(report.dead_letters, 'dead letter')}.")
    if report.gone:
        lines.append(
            f"  {counted(report.gone, 'payload')} could not be restored, whole or in part: what is missing is nowhere."
        )
    if report.damaged:
        lines.append(f"  {counted(report.damaged, 'record')} in packs could not be read; see the log.")
    lines.append(f"  Done in {report.took.total_seconds():.1f} s.")
    return lines


def _key(key: EventKey) -> str:
    return f"{key} ({when(key.time)})"
