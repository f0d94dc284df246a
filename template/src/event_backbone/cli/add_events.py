"""`events add`: check new events, and let Copier write them into the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.copier_answers import ANSWERS_FILE, find_answers
from event_backbone.cli.copier_update import run_update, update_line
from event_backbone.cli.errors import USAGE_ERROR, fail
from event_backbone.cli.event_notation import NotationError, WrittenEvent, parse_events, write_events
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of
from event_backbone.contract import events_of

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


def add(
    ctx: typer.Context,
    events: Annotated[list[str], typer.Argument(help="Events such as 'Lost(reason: str)', each in quotes.")],
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the command that adds them; change nothing.")
    ] = False,
) -> None:
    """Add events to the contract and the handlers by `copier update`, after checking them."""
    answers = find_answers()
    if answers is None or answers.events is None:
        fail(f"No {ANSWERS_FILE} with the answer `events` was found here or above: run this in the project's folder.")
    new = [event for text in events for event in _parse(text)]  # a mistake in one is not hidden by the next
    today = _today(answers.events)
    _check_absent(project_of(ctx), new, today)
    extended = write_events(_parse(write_events([*today, *new])))
    if print_only:
        print_line(update_line(extended))
    else:
        run_update(answers, extended)


def _today(answer: str) -> list[WrittenEvent]:
    try:
        return parse_events(answer)
    except NotationError as error:
        fail(f"The answer `events` in {ANSWERS_FILE} is not valid. {error}")


def _parse(text: str) -> list[WrittenEvent]:
    try:
        return parse_events(text)
    except NotationError as error:
        fail(str(error), USAGE_ERROR)


def _check_absent(project: Project, new: Sequence[WrittenEvent], today: Sequence[WrittenEvent]) -> None:
    """Refuse events that were answered before, and those that somebody wrote into the contract by hand."""
    files = "contract.py and handlers.py" if project.group is not None else "contract.py"
    names = {each.name for each in today}
    methods = {each.attribute for each in events_of(project.contract)} - {each.method for each in today}
    for each in new:
        if each.name in names or each.method in methods:
            fail(f"{each.name} exists already: to change its arguments, edit {files}.", USAGE_ERROR)
