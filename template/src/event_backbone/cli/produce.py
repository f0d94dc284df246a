"""`produce`: send an event from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.events import complete_event, find_event
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of
from event_backbone.contract import EventDefinition, send_of
from event_backbone.errors import ArgumentsInvalid
from event_backbone.testing.samples import sample_json

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.model import EventKey


def produce(
    ctx: typer.Context,
    event: Annotated[
        str, typer.Argument(help="The event's name, as `events` lists it.", autocompletion=complete_event)
    ],
    arguments: Annotated[
        str | None,
        typer.Option("--json", help="The arguments as a JSON object, @FILE to read a file, - for standard input."),
    ] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Send sample arguments.")] = False,
) -> None:
    """Send one event and print its key."""
    project = project_of(ctx)
    definition = find_event(project.contract, event)
    if sample and arguments is not None:
        fail("Give --json or --sample, not both.", USAGE_ERROR)
    if sample:
        text: str | bytes = sample_json(definition)
    elif arguments is not None:
        text = _read(arguments)
    elif not definition.signature.parameters:
        text = "{}"
    else:
        example = sample_json(definition).decode()
        fail(f"Give the arguments, for example: --json '{example}'", USAGE_ERROR)
    try:
        values = definition.codec.parse(text)
    except ArgumentsInvalid as error:
        fail(str(error), USAGE_ERROR)
    print_line(str(run_async(_produce(project, definition, values))))


async def _produce(project: Project, definition: EventDefinition, arguments: dict[str, object]) -> EventKey:
    async with project.open() as backbone:
        # A service waits for servers that are down; a person gets an answer at once.
        await backbone.check()
        producer = backbone.producer(project.contract, uri=project.uri)
        return await send_of(producer, definition)(**arguments)


def _read(arguments: str) -> str:
    if not arguments.startswith("@") and arguments != "-":
        return arguments
    try:
        if arguments == "-":
            return "" if sys.stdin is None else sys.stdin.read()
        return Path(arguments[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        what = "The standard input" if arguments == "-" else f"The file {arguments[1:]!r}"
        fail(f"{what} cannot be read; it must be UTF-8 text.", USAGE_ERROR)
