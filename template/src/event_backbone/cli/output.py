"""The output of commands: tables for people, one JSON object a line for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH_IN_FILES = 200


def when(moment: datetime) -> str:
    """Return an aware time as every command shows it: in UTC, such as ``2026-11-26T03:04:05Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts, such as ``1 event`` and ``1,204 events``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def print_line(text: str) -> None:
    """Write one line of plain text, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_json(value: Mapping[str, object]) -> None:
    """Write one JSON object on one line, at once."""
    print_line(to_json(value).decode())


def print_rich(value: RenderableType) -> None:
    """Write a Rich renderable; square brackets in strings are not markup."""
    from rich.console import Console  # noqa: PLC0415 - costs more to import than most commands take

    # In a file or a pipe a table gets the width that its contents need, not the 80 columns that Rich assumes.
    width = None if sys.stdout.isatty() else _WIDTH_IN_FILES
    Console(markup=False, highlight=False, width=width).print(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; cells are plain text, None is an empty cell, and long cells are folded, never cut.

    Times are written by ``when``.
    """
    from rich import box  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    print_rich(table)


def _text(cell: object) -> str:
    if isinstance(cell, datetime):
        return when(cell)
    return "" if cell is None else str(cell)
