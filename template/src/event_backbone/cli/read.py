"""`tail` and `show`: read events without a consumer group."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic_core import to_json

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import print_json, print_line, print_table
from event_backbone.cli.project import project_of
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.contract.stored_event import StoredEvent

_STARTS = "beginning, now, an event key, or a time such as 2025-01-31T12:00:00Z"
_FROM_HELP = f"{_STARTS}. [default: now, or with --no-follow the beginning]"

Start = EventKey | datetime | Literal["now"] | None


def tail(
    ctx: typer.Context,
    start: Annotated[str | None, typer.Option("--from", help=_FROM_HELP)] = None,
    follow: Annotated[bool, typer.Option(help="Wait for new events until Ctrl-C.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print events as they arrive, or with --no-follow those that are there."""
    begin: Start = ("now" if follow else None) if start is None else _start(start)
    run_async(_tail(project_of(ctx), begin, follow=follow, as_json=as_json))


def show(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Print one event: its metadata, its payload, and where the payload is stored."""
    run_async(_show(project_of(ctx), EventKey.parse(key), as_json=as_json))


async def _tail(project: Project, start: Start, *, follow: bool, as_json: bool) -> None:
    async with project.open() as backbone:
        events = backbone.reader(project.uri).scan(start=start, follow=follow)
        async with contextlib.aclosing(events):
            async for event in events:
                if as_json:
                    print_json(_facts(event))
                else:
                    print_line(f"{event.key}  {event.metadata.event}  {_payload(event)}")


async def _show(project: Project, key: EventKey, *, as_json: bool) -> None:
    async with project.open() as backbone:
        event = await backbone.reader(project.uri).get(key)
        locations = backbone.location(event)
    facts = _facts(event)
    if as_json:
        print_json(facts | {"locations": locations})
        return
    rows = [(name.replace("_", " "), value) for name, value in facts.items() if value and name != "arguments"]
    rows += [("payload stored in", each) for each in locations]
    print_table(f"Event {key}", ("Metadata", ""), rows)
    if event.payload == "present":
        values = [(name, to_json(value).decode()) for name, value in event.arguments.items()]
        print_table("", ("Argument", "Value"), values)


def _start(text: str) -> Start:
    if text == "beginning":
        return None
    if text == "now":
        return "now"
    with contextlib.suppress(ConfigurationError):
        return EventKey.parse(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text[:60]!r} is not a valid start; give {_STARTS}.", USAGE_ERROR)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _facts(event: StoredEvent) -> dict[str, object]:
    metadata = event.metadata
    return {
        "key": str(event.key),
        "event": metadata.event,
        "version": metadata.version,
        "event_id": str(metadata.event_id),
        "produced_at": metadata.produced_at,
        "uri": metadata.uri,
        "environment": metadata.environment,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "payload": event.payload,
        "arguments": event.arguments if event.payload == "present" else None,
    }


def _payload(event: StoredEvent) -> str:
    return to_json(event.arguments).decode() if event.payload == "present" else f"(payload {event.payload})"
