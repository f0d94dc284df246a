"""`replay`: call the project's handlers with a range of the history again, without a consumer group."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import bound_of
from event_backbone.cli.asking import confirmed
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.events import complete_event, event_of
from event_backbone.cli.exit_watchdog import start_exit_watchdog
from event_backbone.cli.output import counted, print_line, when
from event_backbone.cli.progress import progress_bar
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.replay import ReplayKeywords, ReplayReport

_MOST_FAILURES = 10

_START_HELP = "The first event, by its key or a time such as 2025-01-31T12:00:00Z (default: the beginning)."
_END_HELP = "The first event that is left out, likewise (default: after the newest one there is now)."
_EVENT_HELP = "Only this event, as `events` lists it; may be given more than once."


def replay(
    ctx: typer.Context,
    *,
    start: Annotated[str | None, typer.Option(metavar="KEY|TIME", help=_START_HELP)] = None,
    end: Annotated[str | None, typer.Option(metavar="KEY|TIME", help=_END_HELP)] = None,
    names: Annotated[
        list[str] | None, typer.Option("--event", metavar="NAME", help=_EVENT_HELP, autocompletion=complete_event)
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many events are handled at once; 1 keeps order.")] = 10,
    rate: Annotated[float | None, typer.Option(help="At most how many events begin in a second.")] = None,
    go_on: Annotated[bool, typer.Option("--continue", help="Go on after an event that cannot be handled.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events, by name.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Neither count first nor ask.")] = False,
) -> None:
    """Call the handlers with events of the past again, from archive and stream; no consumer group is affected."""
    project = project_of(ctx)
    options: ReplayKeywords = {
        "start": bound_of(start),
        "end": bound_of(end),
        "events": [event_of(project.contract, each) for each in names] if names else None,
        "concurrency": concurrency,
        "rate": rate,
        "on_failure": "continue" if go_on else "stop",
    }
    if not (dry_run or yes or sys.stdin.isatty()):
        fail("Give --yes to replay without being asked, or --dry-run to count the events.", USAGE_ERROR)
    project.configure_logging(logging.WARNING)
    run_async(_replay_and_leave(project, options, dry_run=dry_run, ask=not yes))


async def _replay_and_leave(project: Project, options: ReplayKeywords, *, dry_run: bool, ask: bool) -> None:
    try:
        await _replay(project, options, dry_run=dry_run, ask=ask)
    except asyncio.CancelledError:
        start_exit_watchdog()  # as a handler may swallow its cancellation
        raise


async def _replay(project: Project, options: ReplayKeywords, *, dry_run: bool, ask: bool) -> None:
    async with project.open_handlers() as (backbone, services):
        total: int | None = None
        if dry_run or ask:
            counted_first = await _run(project, backbone, None, {**options, "dry_run": True}, None)
            for line in _lines(counted_first, "Would handle"):
                print_line(line)
            total = counted_first.events
            options = {**options, "end": counted_first.next}
        if dry_run or total == 0:
            return
        if ask and not confirmed("Call the handlers with them? What they do is done again."):
            fail("Nothing was replayed.")
        report = await _run(project, backbone, services, options, total)
    for line in _lines(report, "Handled"):
        print_line(line)
    if failed := sum(number for reason, number in report.failed.items() if reason != "rejected"):
        fail(f"{counted(failed, 'event')} could not be handled.")


async def _run(
    project: Project, backbone: Backbone, services: object, options: ReplayKeywords, total: int | None
) -> ReplayReport:
    """Replay, or count; say how far it came if something ends it early."""
    latest: list[ReplayReport] = []
    dry_run = options.get("dry_run", False)
    consumer = required(project.consumer)
    with progress_bar() as bar:

        def show(report: ReplayReport) -> None:
            latest[:] = [report]
            bar.show(
                "counting" if dry_run else "replaying",
                report.events,
                total,
                place=when(report.next.time) if report.events else "",
            )

        try:
            options = {**options, "on_progress": show}
            return await backbone.replay(consumer, project.uri, services=services, **options)
        except BaseException:
            if latest and not dry_run:
                _say_how_far(latest[0])
            raise


def _say_how_far(report: ReplayReport) -> None:
    for line in _lines(report, "Handled"):
        print_line(line)
    print_line(f"To go on, give --start {report.next} and the same other options; all before it is done.")


def _lines(report: ReplayReport, handled: str) -> list[str]:
    number = sum(report.handled.values())
    took = f" in {report.took.total_seconds():.1f} s" if handled == "Handled" else ""
    lines = [f"{handled} {counted(number, 'event')}{took}{_by(report.handled)}."]
    if report.skipped:
        lines.append(f"Skipped {counted(sum(report.skipped.values()), 'event')}{_by(report.skipped)}.")
    if report.failed:
        failed = sum(report.failed.values())
        lines.append(f"Failed: {counted(failed, 'event')}{_by(report.failed)}.")
        lines += [f"  {each}" for each in report.failures[:_MOST_FAILURES]]
        if failed > _MOST_FAILURES:
            lines.append(f"  and {failed - _MOST_FAILURES:,} more")
    return lines


def _by(numbers: Mapping[str, int]) -> str:
    """Return numbers by name, the largest first."""
    named = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    return f": {', '.join(f'{number:,} {name}' for name, number in named)}" if named else ""
