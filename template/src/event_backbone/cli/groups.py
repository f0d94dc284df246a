"""`groups`: how far each consumer group of a stream is, once or as a table that is kept up to date."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from event_backbone.cli.errors import run_async
from event_backbone.cli.output import about, counted, print_json, print_line, print_rich, table_of, when
from event_backbone.cli.project import project_of
from event_backbone.errors import BackboneError
from event_backbone.web.lag_reading import group_lag

if TYPE_CHECKING:
    from datetime import timedelta

    from rich.table import Table

    from event_backbone.backbone import Backbone
    from event_backbone.cli.project import Project
    from event_backbone.stream.values import GroupState

_EVERY_SECONDS = 1
_COLUMNS = ("Group", "Unread", "Oldest", "In\nflight", "Parked", "Dead\nletters", "Consumers")
_RATE = "Finished\na second"


class Reading(NamedTuple):
    """The groups of a stream at one moment, and how many events each has finished a second since the one before."""

    uri: str
    at: datetime
    states: Sequence[GroupState]
    rates: Mapping[str, float]


Show = Callable[[Reading], None]


def groups(
    ctx: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for each group.")] = False,
) -> None:
    """Show how far each consumer group is: events unread, in flight, parked and dead-lettered, and its consumers."""
    run_async(_groups(project_of(ctx), watch=watch, as_json=as_json))


async def _groups(project: Project, *, watch: bool, as_json: bool) -> None:
    async with project.open() as backbone:
        reader = _Reader(backbone, project)
        if watch and sys.stdout.isatty() and not as_json:
            await _watch_on_terminal(reader)
        elif watch:
            await _watch(reader, _print_json if as_json else _print_lines, _print_problem)
        elif as_json:
            _print_json(await reader.read())
        else:
            _print_table(await reader.read())


class _Reader:
    def __init__(self, backbone: Backbone, project: Project) -> None:
        self._backbone = backbone
        self._uri = project.uri
        self._expected = [] if project.group is None else [project.group]
        self._read_at = 0.0
        self._finished: Mapping[str, int] = {}

    async def read(self) -> Reading:
        states = await self._backbone.groups(self._uri, expected=self._expected)
        now = monotonic()
        rates = {
            each.name: max(0, each.finished - self._finished[each.name]) / (now - self._read_at)
            for each in states
            if each.name in self._finished
        }
        self._read_at, self._finished = now, {each.name: each.finished for each in states}
        return Reading(self._uri, datetime.now(UTC), sorted(states, key=lambda state: state.name), rates)


async def _watch(reader: _Reader, show: Show, show_problem: Callable[[str], None]) -> None:
    """Show the groups again and again; what Redis does not answer is said once, and waited for."""
    show(await reader.read())
    failed = False
    while True:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            reading = await reader.read()
        except BackboneError as error:
            if not error.retryable:
                raise
            if not failed:
                show_problem(str(error))
            failed = True
        else:
            failed = False
            show(reading)


async def _watch_on_terminal(reader: _Reader) -> None:
    from rich.console import Console, Group  # noqa: PLC0415 - costs more to import than most commands take
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown: list[Table] = []
    with Live(console=Console(markup=False, highlight=False), auto_refresh=False, vertical_overflow="visible") as live:

        def show(reading: Reading) -> None:
            shown[:] = [_table(reading, (*_COLUMNS, _RATE))]
            live.update(shown[0], refresh=True)

        def show_problem(problem: str) -> None:
            live.update(Group(*shown, Text(f"{problem} It will be retried.")), refresh=True)

        await _watch(reader, show, show_problem)


def _print_table(reading: Reading) -> None:
    if reading.states:
        print_rich(_table(reading, _COLUMNS))
    else:
        print_line(f"Stream {reading.uri} has no consumer group.")


def _table(reading: Reading, columns: Sequence[str]) -> Table:
    rows = [_row(each, reading.rates)[: len(columns)] for each in reading.states]
    table = table_of(f"Groups of {reading.uri} at {when(reading.at)}", columns, rows)
    table.collapse_padding, table.pad_edge = True, False  # so that it fits into 80 columns
    for column in table.columns[1:]:
        column.no_wrap = True
    return table


def _row(state: GroupState, rates: Mapping[str, float]) -> tuple[object, ...]:
    return (
        _name(state),
        f"{state.unread:,}",
        _age(state.oldest_unread),
        f"{state.in_flight:,}",
        f"{state.parked:,}",
        f"{state.dead_letters:,}",
        state.consumers,
        _rate(rates.get(state.name)),
    )


def _name(state: GroupState) -> str:
    if not state.exists:
        return f"{state.name} (not created)"
    return f"{state.name} (forgotten)" if state.forgotten else state.name


def _age(age: timedelta | None) -> str | None:
    return None if age is None else about(age)


def _rate(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:,.0f}"


def _print_lines(reading: Reading) -> None:
    for each in reading.states:
        oldest = "" if each.oldest_unread is None else f" (oldest {about(each.oldest_unread)})"
        rate = reading.rates.get(each.name)
        parts = [
            f"{each.unread:,} unread{oldest}",
            f"{each.in_flight:,} in flight",
            f"{each.parked:,} parked",
            counted(each.dead_letters, "dead letter"),
            counted(each.consumers, "consumer"),
        ]
        if rate is not None:
            parts.append(f"{_rate(rate)} finished a second")
        print_line(f"{when(reading.at)}  {_name(each)}: {', '.join(parts)}")


def _print_json(reading: Reading) -> None:
    for each in reading.states:
        rate = {"finished_per_second": reading.rates[each.name]} if each.name in reading.rates else {}
        print_json({"at": reading.at} | group_lag(reading.uri, each).model_dump() | rate)


def _print_problem(problem: str) -> None:
    sys.stderr.write(f"{problem} It will be retried.\n")
    sys.stderr.flush()
