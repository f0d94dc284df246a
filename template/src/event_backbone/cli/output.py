"""The output of commands: tables for people, one JSON object a line for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic_core import to_json

from event_backbone.cli.errors import discard_output, fail

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WIDTH_IN_FILES = 200
_THOUSAND = 1000


def when(moment: datetime) -> str:
    """Return an aware time as every command writes it: UTC with milliseconds, such as 2026-11-26T03:04:05.123Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, such as ``1 event`` and ``1,204 events``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def bytes_text(size_bytes: int) -> str:
    """Return a size as people read it, such as ``512 B`` and ``1.4 MB``, which is 1,400,000 bytes."""
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < _THOUSAND:
            break
        size, unit = size / _THOUSAND, larger
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def about(duration: timedelta) -> str:
    """Return a duration as people read it, such as ``45 s``, ``3 h`` and ``12 d``."""
    seconds = duration.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def print_line(text: str) -> None:
    """Write one line of plain text, at once."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        fail(f"The standard output cannot be written: {error.strerror}.")


def print_json(value: Mapping[str, object]) -> None:
    """Write one JSON object on one line, at once; a time among its values as ``when`` writes it."""
    written = {name: when(each) if isinstance(each, datetime) else each for name, each in value.items()}
    print_line(to_json(written).decode())


def print_rich(value: RenderableType) -> None:
    """Write a Rich renderable; square brackets in strings are not markup."""
    from rich.console import Console  # noqa: PLC0415 - costs more to import than most commands take

    if sys.stdout.isatty():
        Console(markup=False, highlight=False).print(value)
        return
    # In a file or a pipe a table gets the width that its contents need, not the 80 columns that Rich assumes.
    console = Console(markup=False, highlight=False, width=_WIDTH_IN_FILES)
    with console.capture() as captured:
        console.print(value)
    for line in captured.get().splitlines():
        print_line(line.rstrip())


def table_of(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of plain text: None is an empty cell, a time is as ``when`` has it; long cells are folded."""
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    return table


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as ``table_of`` makes it."""
    print_rich(table_of(title, columns, rows))


def print_arguments(arguments: Mapping[str, object]) -> None:
    """Write a table of an event's arguments, as JSON."""
    print_table("", ("Argument", "Value"), [(name, to_json(value).decode()) for name, value in arguments.items()])


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return when(value)
    return "" if value is None else str(value)
