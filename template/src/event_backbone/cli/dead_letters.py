"""`dead-letters`: the events that the group gave up on: what they are, and what becomes of them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import key_of
from event_backbone.cli.asking import confirmed
from event_backbone.cli.dead_letter_filters import (
    Erased,
    Error,
    Event,
    NewerThan,
    OlderThan,
    Reason,
    any_of,
    filters_of,
    only_counted,
)
from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.output import counted, print_json, print_line, print_table
from event_backbone.cli.project import project_of, required

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.dead_letters import DeadEvent, DeadLetterCount, DeadLetterFilters, DeadLetters
    from event_backbone.model import EventKey

_MOST_KEYS_NAMED = 10

_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_Keys = Annotated[list[str] | None, typer.Argument(help="Keys of events, as `list` shows them.")]
_All = Annotated[bool, typer.Option("--all", help="All that there are now.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")]


def list_dead_letters(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list at most.")] = 100,
    reason: Reason = None,
    event: Event = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    erased: Erased = False,
    as_json: _AsJson = False,
) -> None:
    """List dead letters, oldest first."""
    project = project_of(ctx)
    filters = filters_of(project.contract, reason, event, error, older_than, newer_than, erased)
    letters, counts = run_async(_list(project, limit, filters, with_counts=not as_json))
    if as_json:
        for each in letters:
            print_json(_facts(each))
        return
    _say(project, counts, filters)
    if letters:
        rows = [_row(each) for each in letters]
        columns = [name for name in rows[0] if name != "id"]
        number = sum(count.dead_letters for count in counts)
        title = f"The oldest {len(rows):,}; see --limit" if len(rows) < number else ""
        print_table(title, [_title(name) for name in columns], [[row[name] for name in columns] for row in rows])


def count(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    reason: Reason = None,
    event: Event = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    erased: Erased = False,
    as_json: _AsJson = False,
) -> None:
    """Count dead letters by reason, event and error."""
    project = project_of(ctx)
    filters = filters_of(project.contract, reason, event, error, older_than, newer_than, erased)
    counts = run_async(_counts(project, filters))
    if as_json:
        for each in counts:
            print_json({field.name: getattr(each, field.name) for field in fields(each)})
        return
    _say(project, counts, filters)
    _print_counts(counts)


def show(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The event's key, such as 1764041094123-0.")],
    payload: Annotated[bool, typer.Option(help="Also print the event's arguments.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> None:
    """Print one dead letter: why and when it failed, its metadata, where its payload is stored, and its arguments."""
    from event_backbone.cli.dead_letter_details import details_of, print_details  # noqa: PLC0415 - for this one alone

    project = project_of(ctx)
    event_key = key_of(key)
    found = run_async(details_of(project, event_key, with_payload=payload))
    if not found:
        _fail_without([event_key], project)
    for each in found:
        if as_json:
            print_json(each)
        else:
            print_details(each)


def redrive(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    keys: _Keys = None,
    everything: _All = False,
    reason: Reason = None,
    event: Event = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    erased: Erased = False,
    dry_run: _DryRun = False,
) -> None:
    """Deliver events to this group again, as if for the first time."""
    project = project_of(ctx)
    filters = filters_of(project.contract, reason, event, error, older_than, newer_than, erased)
    run_async(_redrive(project, _chosen(filters, keys, everything=everything, verb="redrive"), dry_run=dry_run))


def discard(  # noqa: PLR0917 - Typer passes them by name
    ctx: typer.Context,
    keys: _Keys = None,
    everything: _All = False,
    reason: Reason = None,
    event: Event = None,
    error: Error = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    erased: Erased = False,
    dry_run: _DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before discarding.")] = False,
) -> None:
    """Remove dead letters; their events stay in the stream, and this group never handles them."""
    project = project_of(ctx)
    filters = filters_of(project.contract, reason, event, error, older_than, newer_than, erased)
    chosen = _chosen(filters, keys, everything=everything, verb="discard")
    run_async(_discard(project, chosen, dry_run=dry_run, ask=not (keys or yes)))


def _chosen(filters: DeadLetterFilters, keys: list[str] | None, *, everything: bool, verb: str) -> DeadLetterFilters:
    if bool(keys) == (everything or any_of(filters)):
        fail(f"Name the events to {verb} by their keys, or give --all or a filter such as --reason.", USAGE_ERROR)
    return {**filters, "keys": [key_of(each) for each in keys]} if keys else filters


def _dead_letters(project: Project, backbone: Backbone) -> DeadLetters:
    return backbone.dead_letters(project.uri, required(project.group))


async def _list(
    project: Project, limit: int, filters: DeadLetterFilters, *, with_counts: bool = True
) -> tuple[list[DeadEvent], Sequence[DeadLetterCount]]:
    async with project.open() as backbone:
        dead_letters = _dead_letters(project, backbone)
        counts = await dead_letters.counts(**filters) if with_counts else ()
        return [each async for each in dead_letters.list(limit, **filters)], counts


async def _counts(project: Project, filters: DeadLetterFilters) -> Sequence[DeadLetterCount]:
    async with project.open() as backbone:
        return await _dead_letters(project, backbone).counts(**filters)


async def _redrive(project: Project, filters: DeadLetterFilters, *, dry_run: bool) -> None:
    async with project.open() as backbone:
        dead_letters = _dead_letters(project, backbone)
        missing, counts = await _missing_and_counts(dead_letters, filters)
        _say(project, counts, filters)
        if dry_run:
            _print_counts(counts)
        elif counts:
            redriven = await dead_letters.redrive_all(**only_counted(filters, counts))
            them = "it" if redriven.events == 1 else "them"
            print_line(
                f"{counted(redriven.events, 'event')} redriven: a running worker handles {them} within a second."
            )
            if redriven.not_found:
                where = "no longer in the stream" if backbone.archive is None else "in neither stream nor archive"
                fail(f"Not redriven, as they are {where}: {_named(redriven.not_found)}.")
    if missing:
        _fail_without(missing, project)


async def _discard(project: Project, filters: DeadLetterFilters, *, dry_run: bool, ask: bool) -> None:
    async with project.open() as backbone:
        dead_letters = _dead_letters(project, backbone)
        missing, counts = await _missing_and_counts(dead_letters, filters)
        _say(project, counts, filters)
        if dry_run:
            _print_counts(counts)
        elif counts:
            if ask:
                _ask(project)
            discarded = await dead_letters.discard_all(**only_counted(filters, counts))
            print_line(f"{counted(discarded, 'dead letter')} discarded.")
    if missing:
        _fail_without(missing, project)


def _ask(project: Project) -> None:
    if not sys.stdin.isatty():
        fail("Give --yes to discard them without being asked, or --dry-run to count them.", USAGE_ERROR)
    if not confirmed(f"Discard them? Group {project.group} will never handle these events."):
        fail("Nothing was discarded.")


async def _missing_and_counts(
    dead_letters: DeadLetters, filters: DeadLetterFilters
) -> tuple[list[EventKey], Sequence[DeadLetterCount]]:
    """Return the keys without a dead letter, and what there is to act on."""
    wanted = list(filters.get("keys") or ())
    found = {each.key async for each in dead_letters.list(None, **filters)} if wanted else set[object]()
    return [key for key in wanted if key not in found], await dead_letters.counts(**filters)


def _say(project: Project, counts: Sequence[DeadLetterCount], filters: DeadLetterFilters) -> None:
    """Say how many there are, by reason."""
    by_reason: Counter[str] = Counter()
    for each in counts:
        by_reason[each.reason] += each.dead_letters
    such = "such " if any_of(filters) else ""
    if not by_reason:
        print_line(f"Group {project.group} has no {such}dead letters.")
        return
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in by_reason.most_common())
    print_line(f"Group {project.group} has {counted(by_reason.total(), f'{such}dead letter')}: {reasons}.")


def _print_counts(counts: Sequence[DeadLetterCount]) -> None:
    if counts:
        rows = [(each.dead_letters, each.reason, each.event, each.error, each.first, each.last) for each in counts]
        print_table("", ("Dead letters", "Reason", "Event", "Error", "First failed at", "Last failed at"), rows)


def _fail_without(keys: Sequence[EventKey], project: Project) -> None:
    fail(f"There is no dead letter of event {_named(keys)}; see: {project.name} dead-letters list")


def _named(keys: Sequence[EventKey]) -> str:
    named = ", ".join(map(str, keys[:_MOST_KEYS_NAMED]))
    return named if len(keys) <= _MOST_KEYS_NAMED else f"{named} and {len(keys) - _MOST_KEYS_NAMED:,} more"


def _row(letter: DeadEvent) -> dict[str, object]:
    """Return the cells of a table; one shows the error and its place."""
    facts = _facts(letter)
    del facts["place"]
    return facts | {"error": "\n".join([letter.error, *letter.place])}


def _facts(letter: DeadEvent) -> dict[str, object]:
    """Return what a line of a list says of a dead letter."""
    facts: dict[str, object] = {}
    for field in fields(letter):
        if field.name == "metadata":
            facts["event"] = None if letter.metadata is None else letter.metadata.event
        elif field.name == "key":
            facts["key"] = str(letter.key)
        elif field.name != "references":
            facts[field.name] = getattr(letter, field.name)
    return facts


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
