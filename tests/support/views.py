"""A projection of letters that keeps each event as a row, in the order in which they were folded."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from event_backbone import Metadata, StoredEvent
from event_backbone.projection import Projection
from tests.support.letters import Letters

Folding = Callable[[int], None]


class Row(NamedTuple):
    """An event as the view has it."""

    key: str
    number: int | None
    email: str | None
    note: str


def letters_view(
    *, name: str = "letters", version: int = 1, on_event: Folding | None = None, erased: bool = False
) -> Projection[Letters, sqlite3.Connection]:
    """Return a projection; ``on_event`` is called with each number after its row was written.

    With ``erased`` it also folds events without payload.
    """
    projection = Projection(Letters, name=name, version=version, transaction=sqlite3.Connection)
    table = name.replace("-", "_")

    def insert(tx: sqlite3.Connection, row: Row) -> None:
        tx.execute(f"INSERT INTO {table} (key, number, email, note) VALUES (?, ?, ?, ?)", row)  # noqa: S608

    @projection.reset
    def empty(tx: sqlite3.Connection) -> None:
        tx.execute(f"DROP TABLE IF EXISTS {table}")
        tx.execute(f"CREATE TABLE {table} (place INTEGER PRIMARY KEY, key, number, email, note)")

    @projection.on(Letters.sent)
    def sent(tx: sqlite3.Connection, metadata: Metadata, number: int, email: str | None = None) -> None:
        insert(tx, Row(str(metadata.key), number, email, ",".join(metadata.missing)))
        if on_event is not None:
            on_event(number)

    if erased:

        @projection.without_payload
        async def without_payload(tx: sqlite3.Connection, event: StoredEvent) -> None:
            insert(tx, Row(str(event.key), None, None, event.payload))

    return projection


def rows_of(path: Path, table: str = "letters") -> list[Row]:
    """Return what the view has, in the order in which it was folded, as another process would read it."""
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(f"SELECT key, number, email, note FROM {table} ORDER BY place")  # noqa: S608
        return [Row(*row) for row in found.fetchall()]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def numbers_in(path: Path, table: str = "letters") -> list[int | None]:
    """Return the numbers of the events in the view, in order."""
    return [row.number for row in rows_of(path, table)]
