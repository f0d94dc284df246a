"""`debug`: call the project's handlers with one event, in the foreground."""

from __future__ import annotations

import logging
import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import key_of
from event_backbone.cli.errors import fail, run_async
from event_backbone.cli.output import print_line, print_table, when
from event_backbone.cli.project import project_of, required
from event_backbone.errors import BackboneError, HandlerDecision

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.contract.stored_event import StoredEvent
    from event_backbone.model import EventKey
    from event_backbone.replay import DebugReport

_RUNTIME = Path(__file__).parents[1]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_FRAME = re.compile(r'[\s|+]*File "(?P<file>[^"]+)", line \d+')


def debug(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    produce: Annotated[
        bool, typer.Option("--produce", help="Produce what the handlers produce, instead of only showing it.")
    ] = False,
) -> None:
    """Call the handlers with one event, in the foreground: breakpoints work, and nothing is acked.

    What they would produce is shown; whatever else they do is done.
    """
    project = project_of(ctx)
    project.configure_logging(logging.INFO)
    run_async(_debug(project, key_of(key), produce=produce))


async def _debug(project: Project, key: EventKey, *, produce: bool) -> None:
    async with project.open_handlers() as (backbone, services):
        _show(project, await backbone.reader(project.uri).get(key))
        report = await backbone.debug(required(project.consumer), project.uri, key, services=services, produce=produce)
    for each in report.held_back:
        print_line(f"would produce {each}")
    _end(report)


def _show(project: Project, event: StoredEvent) -> None:
    metadata = event.metadata
    print_line(f"Event {event.key}: {metadata.event} version {metadata.version}, of {when(metadata.produced_at)}.")
    try:
        arguments = event.decode(project.contract).arguments
    except BackboneError:  # shown as the failure that it is
        return
    print_table("", ("Argument", "Value"), [(name, repr(value)) for name, value in arguments.items()])


def _end(report: DebugReport) -> None:
    """Say how it ended; leave with an exit code if it failed."""
    if report.skipped:
        print_line(f"No handler was called: {report.skipped}.")
    elif report.error is None:
        print_line("The handlers succeeded; nothing was acked.")
    elif isinstance(report.error, HandlerDecision):
        fail(f"A handler decided: {type(report.error).__name__}, {report.error}.")
    else:
        lines = list(_marked(report.error))
        no_handler_ran = isinstance(report.error, BackboneError) and not any(each.startswith(">") for each in lines)
        fail(f"The event cannot be handled: {report.error}" if no_handler_ran else "\n".join(lines))


def _marked(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, those of frames that are neither Python's nor of a package marked with ``>``."""
    yield "The handlers failed; lines marked > are the project's:"
    own = False
    for line in "".join(traceback.format_exception(error)).splitlines():
        frame = _FRAME.match(line)
        if frame is not None:
            own = _is_own(Path(frame["file"]))
        elif not line.lstrip(" |").startswith(" ") and not line.startswith("    "):
            own = False
        yield f"{'>' if own else ' '} {line}"


def _is_own(file: Path) -> bool:
    if not file.is_absolute() or file.is_relative_to(_RUNTIME) or _INSTALLED & set(file.parts):
        return False
    return not file.is_relative_to(_STANDARD_LIBRARY)
