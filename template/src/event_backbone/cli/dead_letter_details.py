"""One dead letter whole, as `dead-letters show` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

from event_backbone.cli.output import print_arguments, print_table
from event_backbone.cli.project import required
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import BackboneError, StorageError
from event_backbone.model import Metadata

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.dead_letters import DeadEvent, DeadLetters
    from event_backbone.model import EventKey


_LABELS = {"locations": "payload stored in"}


async def details_of(project: Project, key: EventKey, *, with_payload: bool) -> list[dict[str, object]]:
    """Return all that is known of the dead letters of an event: one, or several if the group was created again."""
    async with project.open() as backbone:
        dead_letters = backbone.dead_letters(project.uri, required(project.group))
        letters = [each async for each in dead_letters.list(None, keys=[key])]
        return [await _details(backbone, dead_letters, each, with_payload=with_payload) for each in letters]


async def _details(
    backbone: Backbone, dead_letters: DeadLetters, letter: DeadEvent, *, with_payload: bool
) -> dict[str, object]:
    found: dict[str, object] = {
        field.name: getattr(letter, field.name)
        for field in fields(letter)
        if field.name not in {"metadata", "references"}
    }
    found["key"] = str(letter.key)
    if letter.metadata is None:
        return found | {"payload": "unknown, as its metadata cannot be read"}
    for field in fields(Metadata):
        found.setdefault(field.name, getattr(letter.metadata, field.name))
    found["event_id"], found["headers"] = str(letter.metadata.event_id), dict(letter.metadata.headers)
    found["locations"] = _locations(backbone, letter)
    if with_payload:
        found |= await _payload(dead_letters, letter)
    return found


def _locations(backbone: Backbone, letter: DeadEvent) -> list[str]:
    metadata = cast("Metadata", letter.metadata)
    try:
        return backbone.location(StoredEvent(metadata, {}, letter.references))
    except StorageError as error:
        return [str(error)]


async def _payload(dead_letters: DeadLetters, letter: DeadEvent) -> dict[str, object]:
    try:
        event = await dead_letters.load(letter)
        arguments = event.arguments if event.has_arguments else None
    except BackboneError as error:
        return {"payload": str(error)}
    except ValueError:
        return {"payload": "not valid JSON"}
    return {"payload": event.payload} if arguments is None else {"payload": event.payload, "arguments": arguments}


def print_details(found: Mapping[str, object]) -> None:
    """Print them as two tables: the dead letter with its metadata, and the arguments."""
    about = {name: _text(value) for name, value in found.items() if name != "arguments"}
    rows = [(_LABELS.get(name, name.replace("_", " ")), text) for name, text in about.items() if text is not None]
    print_table(f"Dead letter of event {found['key']}", ("Dead letter", ""), rows)
    arguments = cast("Mapping[str, object]", found.get("arguments", {}))
    if arguments:
        print_arguments(arguments)


def _text(value: object) -> object:
    """Return a cell, empty for what is not there."""
    if isinstance(value, list | tuple):
        return "\n".join(map(str, cast("list[object]", value))) or None
    if isinstance(value, Mapping):
        return to_json(value).decode() if value else None
    return None if value == "" else value
