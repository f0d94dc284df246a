"""`events`: what the contract has."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.copier_answers import events_answer
from event_backbone.cli.errors import CALLED_WRONGLY, fail
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.contract import Contract, events_of

if TYPE_CHECKING:
    from event_backbone.cli.project import Project


_MODULE = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


def add_to(cli: typer.Typer, project: Project) -> None:
    """Add the command."""

    @cli.command()
    def events(
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with JSON schemas.")] = False,
    ) -> None:
        """List the contract's events with their arguments, and how to add one."""
        if as_json:
            _print_for_scripts(project.contract)
            return
        rows = [
            (each.attribute, f"{each.name} v{each.version}", arguments, each.doc.partition("\n")[0])
            for each in events_of(project.contract)
            for arguments in [
                "\n".join(_MODULE.sub("", str(parameter)) for parameter in each.signature.parameters.values())
            ]
        ]
        print_table(
            f"{project.contract.__name__} on {project.uri}", ("Event", "On the wire", "Arguments", "What it says"), rows
        )
        if (answer := events_answer()) is not None:
            print_line("To add events, extend this line and run it:")
            print_line(f"copier update --data {shlex.quote(f'events={answer}')}")

    del events


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


def find_event(contract: type[Contract], name: str) -> str:
    """Return the method's name of the event that people call ``name``: in any case, with hyphens or underscores.

    When there is none, the command ends with a sentence that lists what there is.
    """
    known = [each.attribute for each in events_of(contract)]
    alike = [each for each in known if each == name] or [each for each in known if _plain(each) == _plain(name)]
    if not alike:
        fail(f"{name!r} is no event of {contract.__name__}; there are: {', '.join(known)}.", CALLED_WRONGLY)
    return alike[0]


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
