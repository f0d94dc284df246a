"""`erase`: erase the payload of an event, or one part of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import key_of
from event_backbone.cli.asking import confirmed
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import print_line
from event_backbone.cli.project import project_of

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.model import EventKey


def erase(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    part: Annotated[
        str | None,
        typer.Option(
            metavar="STORAGE",
            help="Only the part in the storage of this name; a wrong name is answered with those it has.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before erasing.")] = False,
) -> None:
    """Erase an event's payload, or one part of it, permanently; its metadata stays, unless the payload is inline."""
    run_async(_erase(project_of(ctx), key_of(key), part, ask=not yes))


async def _erase(project: Project, key: EventKey, part: str | None, *, ask: bool) -> None:
    what = f"payload of event {key}" if part is None else f"part {part!r} of event {key}"
    async with project.open() as backbone:
        if ask:
            _ask(what)
        places = await backbone.erase(project.uri, key, part=part)
    print_line(f"The {what} is erased{':' if places else '.'}")
    for place in places:
        print_line(f"  {place}")


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        fail("Give --yes to erase without being asked.", USAGE_ERROR)
    if not confirmed(f"Erase the {what}? Nothing brings it back."):
        fail("Nothing was erased.")
