"""`explain`: what became of one event, and what it has caused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import key_of
from event_backbone.cli.dead_letter_filters import age_of
from event_backbone.cli.errors import run_async
from event_backbone.cli.output import counted, print_json, print_line, print_table, when
from event_backbone.cli.project import project_of

if TYPE_CHECKING:
    from event_backbone.cli.project import Project
    from event_backbone.explaining import CausedEvent, Explanation, GroupLife
    from event_backbone.model import EventKey

_STATES = {
    "unread": "not read yet",
    "finished": "finished",
    "skipped": "skipped by a seek",
    "cut": "removed before the group had read it",
    "finished-or-cut": "finished, or removed before it was",
}


def explain(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    *,
    also_in: Annotated[
        list[str] | None, typer.Option("--in", metavar="URI", help="Search there, too, for what it has caused.")
    ] = None,
    within: Annotated[
        timedelta | None,
        typer.Option(parser=age_of, metavar="TIME", help="Search events up to so long after it, such as 30m [1h]."),
    ] = None,
    depth: Annotated[int, typer.Option(min=0, max=20, help="How many steps to follow what it has caused.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Say what became of one event in each consumer group, and what its handlers have produced."""
    longest = timedelta(hours=1) if within is None else within
    found, locations = run_async(_explain(project_of(ctx), key_of(key), also_in or [], longest, depth))
    if as_json:
        print_json(_facts(found, locations))
    else:
        _print(found, locations)


async def _explain(
    project: Project, key: EventKey, also_in: Sequence[str], within: timedelta, depth: int
) -> tuple[Explanation, list[str]]:
    async with project.open() as backbone:
        found = await backbone.explain(project.uri, key, also_in=also_in, within=within, depth=depth)
        return found, backbone.location(found.event)


def _print(found: Explanation, locations: Sequence[str]) -> None:
    event, metadata = found.event, found.event.metadata
    where = "in the stream" if event.segment is None else f"in the archive, {event.segment}"
    print_line(f"Event {event.key} ({metadata.event}), produced at {when(metadata.produced_at)}, is {where}.")
    print_line(f"Its payload is {event.payload}: {', '.join(locations)}")
    rows = [(each.group, "\n".join(_life(each))) for each in found.groups]
    if rows:
        print_table("", ("Group", "What became of it"), rows)
    else:
        print_line("The stream has no consumer group.")
    if not found.caused:
        print_line(f"It has caused no event until {when(found.searched_until)}.")
        return
    print_line(f"It has caused, until {when(found.searched_until)}:")
    _print_caused(found.caused, 1)


def _print_caused(caused: Sequence[CausedEvent], depth: int) -> None:
    for each in caused:
        metadata = each.metadata
        print_line(f"{'  ' * depth}{metadata.event} {metadata.key} in {metadata.uri}, {when(metadata.key.time)}")
        _print_caused(each.caused, depth + 1)


def _life(life: GroupLife) -> list[str]:
    """Return the lines that say what became of an event in a group."""
    lines = [f"redriven {counted(life.redrives, 'time')}"] if life.redrives else []
    pending = life.pending
    if pending is not None:
        if pending.due is None:
            since = when(datetime.now(UTC) - pending.idle)
            lines.append(f"in flight with {pending.consumer} since {since}, attempt {pending.attempt}")
        else:
            lines.append(f"parked until {when(pending.due)}, after attempt {pending.attempt}")
        if pending.failures:
            lines.append(f"{counted(pending.failures, 'failure')}, the last one {pending.error or 'unknown'}")
            lines += [f"  {each}" for each in pending.place]
    elif life.state in _STATES:
        lines.append(_STATES[life.state])
    for letter in life.dead_letters:
        error = f" ({letter.error})" if letter.error else ""
        lines.append(f"dead letter since {when(letter.failed_at)}: {letter.reason}{error}, attempt {letter.attempts}")
        lines += [f"  {each}" for each in (letter.detail, *letter.place) if each]
    return lines


def _facts(found: Explanation, locations: Sequence[str]) -> dict[str, object]:
    metadata = found.event.metadata
    return {
        "key": str(found.event.key),
        "event": metadata.event,
        "version": metadata.version,
        "event_id": str(metadata.event_id),
        "produced_at": metadata.produced_at,
        "correlation_id": metadata.correlation_id,
        "causation_id": metadata.causation_id,
        "payload": found.event.payload,
        "segment": found.event.segment,
        "locations": list(locations),
        "groups": [_life_facts(each) for each in found.groups],
        "caused": [_caused_facts(each) for each in found.caused],
        "searched_until": found.searched_until,
    }


def _life_facts(life: GroupLife) -> dict[str, object]:
    facts: dict[str, object] = {"group": life.group, "state": life.state, "redrives": life.redrives}
    pending = life.pending
    if pending is not None:
        facts |= {
            "consumer": pending.consumer,
            "attempt": pending.attempt,
            "due_at": None if pending.due is None else when(pending.due),
            "failures": pending.failures,
            "error": pending.error,
            "place": pending.place,
        }
    facts["dead_letters"] = [
        {
            "id": each.id,
            "reason": each.reason,
            "detail": each.detail,
            "error": each.error,
            "place": each.place,
            "attempts": each.attempts,
            "failed_at": when(each.failed_at),
        }
        for each in life.dead_letters
    ]
    return facts


def _caused_facts(caused: CausedEvent) -> dict[str, object]:
    metadata = caused.metadata
    return {
        "uri": metadata.uri,
        "key": str(metadata.key),
        "event": metadata.event,
        "event_id": str(metadata.event_id),
        "caused": [_caused_facts(each) for each in caused.caused],
    }
