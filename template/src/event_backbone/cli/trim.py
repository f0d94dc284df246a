"""`trim`: remove from Redis what is due, or say what would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import bound_of
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import bytes_text, counted, print_line, when
from event_backbone.cli.project import project_of

if TYPE_CHECKING:
    from datetime import datetime

    from event_backbone.cli.project import Project
    from event_backbone.model import EventKey
    from event_backbone.retention.by_hand import TrimReport
    from event_backbone.stream.redis.retention_values import Hold

_BEFORE_HELP = "Events before this key or time, such as 2025-01-31T12:00:00Z (default: those that are too old)."
_REASONS = {  # why one event is kept, and several
    "unread": ("group {group} has not read it", "not read by group {group}"),
    "pending": ("group {group} has not finished it", "not finished by group {group}"),
    "dead-letter": ("it is a dead letter", "dead letters"),
    "not-archived": ("it is not archived yet", "not archived yet"),
}


def trim(
    ctx: typer.Context,
    uri: Annotated[str | None, typer.Argument(help="Which stream; by default the project's.")] = None,
    *,
    before: Annotated[str | None, typer.Option(metavar="KEY|TIME", help=_BEFORE_HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove events from Redis that nobody needs there any more, with their payloads in Redis.

    What a living group has not finished, dead letters, and what is not archived yet always stay.
    """
    project = project_of(ctx)
    for line in run_async(_trim(project, uri or project.uri, bound_of(before), dry_run=dry_run)):
        print_line(line)


async def _trim(project: Project, uri: str, before: EventKey | datetime | None, *, dry_run: bool) -> list[str]:
    async with project.open() as backbone:
        if before is None and (backbone.retention is None or backbone.retention.max_age is None):
            fail("Give --before KEY or TIME: this project keeps events forever.", USAGE_ERROR)
        report = await backbone.trim(uri, before=before, dry_run=dry_run)
    return report_lines(report, dry_run=dry_run)


def report_lines(report: TrimReport, *, dry_run: bool) -> list[str]:
    """Return what is said of what was removed, and of what was not."""
    payloads = f", with {bytes_text(report.payload_bytes)} of payloads" if report.payload_bytes else ""
    events = f"{counted(report.removed, 'event')} before {report.before} ({when(report.before.time)}){payloads}"
    if dry_run:
        lines = [f"Would remove {events}; {report.left:,} would be left."]
    else:
        lines = [f"Removed {events}; {report.left:,} are left."]
    lines += [f"  {_held(each)}" for each in report.held]
    for group, number in report.cut.items():
        lines.append(f"  Group {group}, which is forgotten, had not finished {number:,} of these.")
    return lines


def held_by(hold: Hold) -> str:
    """Return who keeps an event, and why."""
    of_one, _ = _REASONS[hold.reason]
    return of_one.format(group=hold.group)


def _held(hold: Hold) -> str:
    _, of_several = _REASONS[hold.reason]
    events, why = counted(hold.events, "event"), of_several.format(group=hold.group)
    return f"Kept: {events} from {hold.first} ({when(hold.first.time)}) on, {why}."
