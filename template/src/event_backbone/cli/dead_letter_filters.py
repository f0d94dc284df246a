"""The options by which `dead-letters` commands choose dead letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from event_backbone.cli.arguments import moment_of
from event_backbone.contract import Contract, events_of

if TYPE_CHECKING:
    from event_backbone.dead_letters import DeadLetterCount, DeadLetterFilters

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_AGES = "such as 90s, 30m, 8h or 7d, or a time such as 2026-11-26T03:00:00Z"


def age_of(text: str) -> timedelta:
    """Read an age, or a time in the past as the age that it has now."""
    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and re.fullmatch("[0-9]{1,6}", number):
        return int(number) * _UNITS[unit]
    moment = moment_of(text)
    if moment is None:
        raise typer.BadParameter(f"{text[:60]!r} is not an age; give one {_AGES}")
    return max(timedelta(), datetime.now(UTC) - moment)


Reason = Annotated[str | None, typer.Option(help="Only those with this reason, such as rejected.")]
Event = Annotated[str | None, typer.Option(help="Only those of this event.")]
Error = Annotated[str | None, typer.Option(help="Only those of this type of error, such as TimeoutError.")]
OlderThan = Annotated[
    timedelta | None, typer.Option(parser=age_of, metavar="AGE", help=f"Only those that failed longer ago: {_AGES}.")
]
NewerThan = Annotated[
    timedelta | None, typer.Option(parser=age_of, metavar="AGE", help="Only those that failed less long ago.")
]
Erased = Annotated[bool, typer.Option("--erased", help="Only those whose payload was erased.")]


def filters_of(  # noqa: PLR0917 - one for each option
    contract: type[Contract],
    reason: str | None,
    event: str | None,
    error: str | None,
    older_than: timedelta | None,
    newer_than: timedelta | None,
    erased: bool,
) -> DeadLetterFilters:
    """Return the filters that were given; an event may be named as its method or as on the wire."""
    wire_names = {each.attribute: each.name for each in events_of(contract)}
    given: DeadLetterFilters = {
        "reason": reason,
        "event": None if event is None else wire_names.get(event, event),
        "error": error,
        "older_than": older_than,
        "newer_than": newer_than,
        "erased": erased,
    }
    return given


def any_of(filters: DeadLetterFilters) -> bool:
    """Return whether there is a filter."""
    return any(value is not None and value is not False for value in filters.values())


def only_counted(filters: DeadLetterFilters, counts: Sequence[DeadLetterCount]) -> DeadLetterFilters:
    """Return filters for what was counted, without what failed since."""
    last = max(count.last for count in counts)
    return {**filters, "older_than": max(timedelta(), datetime.now(UTC) - last)}
