"""``SqliteStore``: views in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from event_backbone.errors import ConfigurationError
from event_backbone.projection.store import ProjectionKey

R = TypeVar("R")

_CREATE = """
CREATE TABLE IF NOT EXISTS event_backbone_checkpoints (
    projection TEXT NOT NULL,
    uri TEXT NOT NULL,
    environment TEXT NOT NULL,
    checkpoint TEXT NOT NULL,
    PRIMARY KEY (projection, uri, environment)
) WITHOUT ROWID
"""
_READ = (
    "SELECT checkpoint FROM event_backbone_checkpoints WHERE projection = :projection AND uri = :uri"
    " AND environment = :environment"
)
_INSERT = (
    "INSERT INTO event_backbone_checkpoints (projection, uri, environment, checkpoint)"
    " VALUES (:projection, :uri, :environment, :new) ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE event_backbone_checkpoints SET checkpoint = :new WHERE projection = :projection AND uri = :uri"
    " AND environment = :environment AND checkpoint = :expected"
)


class SqliteStore:
    """Views and checkpoints in one SQLite file. Functions of projections get a ``sqlite3.Connection``.

    ```python
    async with SqliteStore("views.sqlite") as store, backbone.projector(projection, "shipments", store=store) as each:
        await each.wait()
    ```

    What waits, for the disk or for another process' lock, runs in a thread. The statements of a projection run in the
    event loop, as they take microseconds; slow ones delay everything else there. One transaction runs at a time. It
    holds the lock from its beginning, so its statements never wait for another process.

    The file is in WAL mode: others read it meanwhile, through their own connections, and see the view between two
    transactions. A power failure may lose the last transactions, each with its checkpoint: their events are folded
    again. The functions of a projection cannot commit or roll back; what tries raises ``sqlite3.DatabaseError``.

    ``timeout`` is how long a transaction waits for the lock of another process before it raises, and is retried.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Prepare; the file is opened, or created, by the first transaction."""
        if timeout < timedelta():
            raise ConfigurationError("The timeout of a SqliteStore must not be negative.")
        self._path = path
        self._timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._guarded = False
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the file, after the transaction that is under way. May be called twice."""
        async with self._turn:
            await _in_thread(self._drop)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[sqlite3.Connection, None]:
        """Run a transaction; see ``ProjectionStore``."""
        async with self._turn:
            try:
                yield await _in_thread(self._begin)
                self._guarded = False
                await _in_thread(self._commit)
            except BaseException:
                self._guarded = False
                await _in_thread(self._roll_back)
                raise

    async def checkpoint(self, tx: sqlite3.Connection, key: ProjectionKey) -> str | None:
        """Return the checkpoint; see ``ProjectionStore``."""
        row: tuple[str] | None = tx.execute(_READ, key._asdict()).fetchone()
        return None if row is None else row[0]

    async def move(self, tx: sqlite3.Connection, key: ProjectionKey, expected: str | None, new: str) -> bool:
        """Move the checkpoint; see ``ProjectionStore``."""
        values = {**key._asdict(), "new": new, "expected": expected}
        return tx.execute(_INSERT if expected is None else _UPDATE, values).rowcount == 1

    def _begin(self) -> sqlite3.Connection:
        connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        self._guarded = True
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout.total_seconds(), isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_CREATE)
            connection.set_authorizer(self._authorize)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _commit(self) -> None:
        if self._connection is not None:
            self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        """Undo the transaction. Whatever the connection was left in, the next one opens the file again if need be."""
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._drop()

    def _authorize(self, action: int, *_: str | None) -> int:
        """Let functions of projections neither commit nor roll back."""
        denied = self._guarded and action == sqlite3.SQLITE_TRANSACTION
        return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


async def _in_thread(call: Callable[[], R]) -> R:
    """Run ``call`` in a thread, and wait for its end even if cancelled: the connection has one user at a time."""
    running = asyncio.ensure_future(asyncio.to_thread(call))
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        running.exception()
        raise cancelled
    return running.result()
