"""`events`: list the events of the contract."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

import typer

from event_backbone.cli.copier_answers import events_answer
from event_backbone.cli.errors import USAGE_ERROR, fail
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.cli.project import project_of
from event_backbone.contract import Contract, EventDefinition, events_of

_MODULE = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


def events(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with JSON schemas.")] = False,
) -> None:
    """List the contract's events and their arguments, and show how to add one."""
    project = project_of(ctx)
    if as_json:
        _print_for_scripts(project.contract)
        return
    rows = [
        (each.attribute, f"{each.name} v{each.version}", _arguments(each), _description(each))
        for each in events_of(project.contract)
    ]
    title = f"{project.contract.__name__} on {project.uri}"
    print_table(title, ("Event", "Name and version", "Arguments", "Description"), rows)
    if (answer := events_answer()) is not None:
        print_line("To add events, extend this command and run it:")
        print_line(f"copier update --data {shlex.quote(f'events={answer}')}")


def _arguments(event: EventDefinition) -> str:
    return "\n".join(_MODULE.sub("", str(parameter)) for parameter in event.signature.parameters.values())


def _description(event: EventDefinition) -> str:
    summary = event.doc.partition("\n")[0]
    return summary if event.deprecated is None else f"Deprecated: {event.deprecated.rstrip('.')}. {summary}".rstrip()


def _print_for_scripts(contract: type[Contract]) -> None:
    for each in events_of(contract):
        print_json(
            {
                "event": each.attribute,
                "name": each.name,
                "version": each.version,
                "description": each.doc,
                "deprecated": each.deprecated,
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


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
