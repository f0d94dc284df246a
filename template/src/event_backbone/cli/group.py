"""`group`: where the consumer group reads on, and deleting it."""

from __future__ import annotations

import sys
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import bound_of
from event_backbone.cli.asking import confirmed
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import counted, print_json, print_line, when
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.groups import SeekReport
    from event_backbone.stream.values import GroupDeletion, Start

_TO_HELP = "The first event it is to read next: its key, a time (UTC unless it has a zone), `beginning` or `now`."
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on one line.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def seek(
    ctx: typer.Context,
    *,
    to: Annotated[str, typer.Option(metavar="KEY|TIME|beginning|now", help=_TO_HELP)],
    dry_run: _DryRun = False,
    yes: _Yes = False,
    as_json: _AsJson = False,
) -> None:
    """Let the group read on elsewhere: back, to handle events again, or forward, to skip some. Workers may run."""
    start: Start = "beginning" if to == "beginning" else "now" if to == "now" else bound_of(to)
    run_async(_seek(project_of(ctx), start, dry_run=dry_run, ask=not yes, as_json=as_json))


def delete(
    ctx: typer.Context,
    *,
    with_dead_letters: Annotated[bool, typer.Option("--with-dead-letters", help="Its dead letters, too.")] = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    as_json: _AsJson = False,
) -> None:
    """Delete the group, its position and all that is kept of it; its events stay. Stop its workers first."""
    project = project_of(ctx)
    run_async(_delete(project, dead_letters=with_dead_letters, dry_run=dry_run, ask=not yes, as_json=as_json))


async def _seek(project: Project, to: Start, *, dry_run: bool, ask: bool, as_json: bool) -> None:
    group = required(project.group)
    async with project.open() as backbone:
        report = await backbone.seek(project.uri, group, to, dry_run=True)
        if not as_json:
            _print_lines(_seek_lines(report))
        if not dry_run:
            if ask:
                _ask(f"Move group {group}?", "move it", "Nothing was changed.")
            report = await backbone.seek(project.uri, group, to)
            if not as_json:
                print_line(f"Moved: running workers of group {group} follow within a second.")
    if as_json:
        print_json(_facts(report))


async def _delete(project: Project, *, dead_letters: bool, dry_run: bool, ask: bool, as_json: bool) -> None:
    group = required(project.group)
    async with project.open() as backbone:
        found = await backbone.delete_group(project.uri, group, dead_letters=dead_letters, dry_run=True)
        if not as_json:
            _print_lines(_delete_lines(group, found, dead_letters=dead_letters))
        if not dry_run:
            if ask:
                _ask(f"Delete group {group}?", "delete it", "Nothing was deleted.")
            found = await backbone.delete_group(project.uri, group, dead_letters=dead_letters)
            if not as_json:
                print_line(f"Group {group} is deleted.")
    if as_json:
        print_json({"group": group} | {each.name: getattr(found, each.name) for each in fields(found)})


def _seek_lines(report: SeekReport) -> list[str]:
    """Return what is said of a move to come."""
    first = report.position.successor()
    place = f"{first} ({when(first.time)})" if first.milliseconds else "the beginning"
    if report.position < report.left:
        lines = [f"{counted(report.come_again, 'event')}, from {place} on, would come again to group {report.group}."]
        if report.given_up:
            lines.append(f"  {report.given_up:,} of these are in flight or parked, and would begin again.")
    elif report.position > report.left:
        events = counted(report.skipped, "event")
        lines = [f"{events} before {place} would be skipped: group {report.group} would never handle them."]
    else:
        lines = [f"Group {report.group} is there already: it reads on after {report.left}."]
    if report.still_pending:
        lines.append(f"  {counted(report.still_pending, 'earlier event')}, in flight or parked, would stay so.")
    lines += _warnings(report)
    return lines


def _warnings(report: SeekReport) -> list[str]:
    lines: list[str] = []
    first = report.position.successor()
    if report.position > report.newest and first.time > datetime.now(UTC):
        lines.append(f"  That is in the future: all events that are appended before {when(first.time)} would be, too.")
    if report.vanished:
        lines.append(f"  {counted(report.vanished, 'pending event')} had left the stream and cannot come again.")
    if report.dead_letters:
        lines.append(
            f"  {counted(report.dead_letters, 'dead letter')} of events that come again would stay: once redriven, "
            "these are handled twice."
        )
    if report.complete_from is not None:
        lines.append(
            f"  Events before {report.complete_from} ({when(report.complete_from.time)}) may have left Redis: the "
            "group begins with those that are there; the archive has the others, if there is one."
        )
    if report.forgotten:
        lines.append("  No consumer has run for long: until one does, the group keeps no events from being removed.")
    return lines


def _delete_lines(group: str, found: GroupDeletion, *, dead_letters: bool) -> list[str]:
    """Return what is said of a deletion to come."""
    parts = [f"{counted(found.pending, 'event')} not finished ({found.parked:,} of them parked)"]
    parts.append(f"{counted(found.dead_letters, 'dead letter')}")
    lines = [f"Group {group} has {' and '.join(parts)}; its events stay in the stream."]
    if found.consumers:
        lines.append(f"  {counted(found.consumers, 'consumer')} alive: stop them first.")
    if found.dead_letters and not dead_letters:
        lines.append("  Give --with-dead-letters to delete these too, or redrive or discard them first.")
    return lines


def _facts(report: SeekReport) -> dict[str, object]:
    facts: dict[str, object] = {}
    for each in fields(report):
        value = getattr(report, each.name)
        facts[each.name] = (
            str(value) if each.name in {"left", "position", "newest", "complete_from"} and value else value
        )
    return facts


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        print_line(line)


def _ask(question: str, what: str, otherwise: str) -> None:
    if not sys.stdin.isatty():
        fail(f"Give --yes to {what} without being asked, or --dry-run to see what would change.", USAGE_ERROR)
    if not confirmed(question):
        fail(otherwise)
