"""`events`: list the events of the contract."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from event_backbone.cli.copier_answers import find_answers
from event_backbone.cli.copier_update import update_line
from event_backbone.cli.errors import USAGE_ERROR, fail
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.cli.project import project_of
from event_backbone.contract import Contract, EventDefinition, EventOf, events_of

_MODULE = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


def events(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with JSON schemas.")] = False,
) -> None:
    """List the contract's events and their arguments, and show how to add one."""
    if ctx.invoked_subcommand is not None:
        return
    project = project_of(ctx)
    if as_json:
        _print_for_scripts(project.contract)
        return
    rows = [
        (each.attribute, f"{each.name} v{each.version}", _arguments(each), each.doc.partition("\n")[0])
        for each in events_of(project.contract)
    ]
    title = f"{project.contract.__name__} on {project.uri}"
    print_table(title, ("Event", "Name and version", "Arguments", "Description"), rows)
    if (answers := find_answers()) is not None and answers.events is not None:
        print_line(f"Add events with {project.name} events add, or extend this command and run it:")
        print_line(update_line(answers.events))


def _arguments(event: EventDefinition) -> str:
    return "\n".join(_MODULE.sub("", str(parameter)) for parameter in event.signature.parameters.values())


def _print_for_scripts(contract: type[Contract]) -> None:
    for each in events_of(contract):
        print_json(
            {
                "event": each.attribute,
                "name": each.name,
                "version": each.version,
                "description": each.doc,
                "arguments": each.codec.json_schema(),
            }
        )


def find_event(contract: type[Contract], name: str) -> EventDefinition:
    """Return the event whose method is called ``name``: in any case, with hyphens or underscores.

    When there is none, the command ends with a sentence that lists the contract's events.
    """
    known = events_of(contract)
    matching = [each for each in known if each.attribute == name]
    matching = matching or [each for each in known if _plain(each.attribute) == _plain(name)]
    if not matching:
        names = ", ".join(each.attribute for each in known)
        fail(f"{name!r} is not an event of {contract.__name__}; choose one of: {names}.", USAGE_ERROR)
    return matching[0]


def event_of(contract: type[Contract], name: str) -> EventOf[Any, ...]:
    """Return the same event as the method that the contract has for it."""
    found: EventOf[Any, ...] = getattr(contract, find_event(contract, name).attribute)
    return found


def complete_event(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the events whose name begins like this, for the completion of a shell."""
    return [name for each in events_of(project_of(ctx).contract) if (name := each.attribute).startswith(incomplete)]


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
