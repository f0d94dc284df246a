"""`tail` and `show`: read events without a consumer group."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic_core import to_json

from event_backbone.cli.arguments import key_of, moment_of
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.events import complete_event, event_of
from event_backbone.cli.origin import Origin
from event_backbone.cli.output import print_arguments, print_json, print_line, print_table, when
from event_backbone.cli.progress import progress_bar
from event_backbone.cli.project import project_of
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.reader import Reader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from event_backbone.cli.project import Project
    from event_backbone.contract.stored_event import StoredEvent

_STARTS = "beginning, now, an event key, or a time such as 2025-01-31T12:00:00Z"
_FROM_HELP = f"{_STARTS} (default: now, or with --no-follow the beginning)."
_LAST_HELP = "Begin with the newest N events that are there, of those that are wanted."
_EVENT_HELP = "Only this event, as `events` lists it; may be given more than once."

_ORIGIN_HELP = "Only events that were produced to this stream itself, or forwarded to it: any, produced or forwarded."

_SHOW_EVERY = 500  # events

Start = EventKey | datetime | Literal["now"] | None


def tail(
    ctx: typer.Context,
    *,
    start: Annotated[str | None, typer.Option("--from", help=_FROM_HELP)] = None,
    last: Annotated[int | None, typer.Option("--last", "-n", min=0, metavar="N", help=_LAST_HELP)] = None,
    names: Annotated[
        list[str] | None, typer.Option("--event", metavar="NAME", help=_EVENT_HELP, autocompletion=complete_event)
    ] = None,
    origin: Annotated[Origin, typer.Option(help=_ORIGIN_HELP)] = Origin.ANY,
    follow: Annotated[bool, typer.Option(help="Wait for new events until Ctrl-C.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print events as they arrive, or with --no-follow those that are there."""
    if start is not None and last is not None:
        fail("Give --from or --last, not both.", USAGE_ERROR)
    project = project_of(ctx)
    events = [event_of(project.contract, each) for each in names] if names else None
    scan = partial(
        Reader.scan,
        start=_begin(start, last, follow=follow),
        last=last or None,
        follow=follow,
        events=events,
        origin=origin.wanted,
    )
    run_async(_tail(project, scan, as_json=as_json))


def show(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Print one event: its metadata, its payload, and where the payload is stored."""
    run_async(_show(project_of(ctx), key_of(key), as_json=as_json))


async def _tail(
    project: Project, scan: Callable[[Reader], AsyncGenerator[StoredEvent, None]], *, as_json: bool
) -> None:
    async with project.open() as backbone, contextlib.aclosing(scan(backbone.reader(project.uri))) as events:
        # In a terminal the events themselves show how far it is.
        with contextlib.nullcontext() if sys.stdout.isatty() else progress_bar() as bar:
            count = 0
            async for event in events:
                if as_json:
                    print_json(_facts(event))
                else:
                    print_line(f"{event.key}  {event.metadata.event}  {_payload(event)}")
                count += 1
                if bar is not None and count % _SHOW_EVERY == 0:
                    bar.show("reading", count, place=when(event.key.time))


async def _show(project: Project, key: EventKey, *, as_json: bool) -> None:
    async with project.open() as backbone:
        event = await backbone.reader(project.uri).get(key)
        locations = backbone.location(event)
    facts = _facts(event)
    if as_json:
        print_json(facts | {"locations": locations})
        return
    facts["missing_parts"] = _missing(event)
    rows = [(name.replace("_", " "), value) for name, value in facts.items() if value and name != "arguments"]
    rows += [("payload stored in", each) for each in locations]
    print_table(f"Event {key}", ("Metadata", ""), rows)
    if event.has_arguments:
        print_arguments(event.arguments)


def _begin(start: str | None, last: int | None, *, follow: bool) -> Start:
    """Return where a scan begins: None is the beginning, or, with ``last``, what that says."""
    if start is not None:
        return start_of(start)
    return "now" if last == 0 or (last is None and follow) else None


def start_of(text: str) -> Start:
    """Read where a scan begins, None is the beginning; leave the command if it is not valid."""
    if text == "beginning":
        return None
    if text == "now":
        return "now"
    with contextlib.suppress(ConfigurationError):
        return EventKey.parse(text)
    moment = moment_of(text)
    if moment is None:
        fail(f"{text[:60]!r} is not a valid start; give {_STARTS}.", USAGE_ERROR)
    return moment


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
        "origin": None if metadata.origin is None else metadata.origin.as_json(),
        "payload": event.payload,
        "missing_parts": event.missing_parts,
        "arguments": event.arguments if event.has_arguments else None,
    }


def _payload(event: StoredEvent) -> str:
    if not event.has_arguments:
        return f"(payload {event.payload})"
    arguments = to_json(event.arguments).decode()
    return f"{arguments}  (payload partial: {_missing(event)})" if event.missing_parts else arguments


def _missing(event: StoredEvent) -> str:
    """Return which parts are missing and why, such as ``personal erased``."""
    return ", ".join(f"{name} {state.replace('-', ' ')}" for name, state in event.missing_parts.items())
