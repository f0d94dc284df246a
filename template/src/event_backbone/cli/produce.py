"""`produce`: send an event from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from event_backbone.cli.errors import CALLED_WRONGLY, fail, run_async
from event_backbone.cli.events import find_event
from event_backbone.cli.output import print_line
from event_backbone.contract import EventDefinition, Send, events_of
from event_backbone.testing.samples import sample_json

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.model import EventKey


def add_to(cli: typer.Typer, project: Project) -> None:
    """Add the command."""

    @cli.command()
    def produce(
        event: Annotated[str, typer.Argument(help="The event's name, as `events` lists it.")],
        arguments: Annotated[
            str | None,
            typer.Option("--json", help="The arguments as a JSON object, @FILE to read a file, - for standard input."),
        ] = None,
        sample: Annotated[bool, typer.Option("--sample", help="Send made-up arguments.")] = False,
    ) -> None:
        """Send one event and print its key."""
        name = find_event(project.contract, event)
        definition = next(each for each in events_of(project.contract) if each.attribute == name)
        if sample and arguments is not None:
            fail("Give --json or --sample, not both.", CALLED_WRONGLY)
        if sample:
            text: str | bytes = sample_json(definition)
        elif arguments is not None:
            text = _read(arguments)
        elif not definition.signature.parameters:
            text = "{}"
        else:
            example = sample_json(definition).decode()
            fail(f"Give the arguments, for example: --json '{example}'", CALLED_WRONGLY)
        print_line(str(run_async(_produce(project, definition, definition.codec.parse(text)))))

    del produce


async def _produce(project: Project, definition: EventDefinition, arguments: dict[str, object]) -> EventKey:
    async with project.open_backbone() as backbone:
        # A service waits for servers that are away; a person is told at once.
        await backbone.check()
        producer = backbone.producer(project.contract, uri=project.uri)
        return await cast("Send[...]", getattr(producer, definition.attribute))(**arguments)


def _read(arguments: str) -> str:
    if arguments == "-":
        return sys.stdin.read()
    if not arguments.startswith("@"):
        return arguments
    try:
        return Path(arguments[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        fail(f"The file {arguments[1:]!r} cannot be read; it must be UTF-8 text.", CALLED_WRONGLY)
