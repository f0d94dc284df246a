"""What a database does for projections: transactions, each with the view and its checkpoint."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class ProjectionKey(NamedTuple):
    """What a checkpoint belongs to: one projection of the events of one URI in one environment."""

    projection: str
    uri: str
    environment: str


class ProjectionStore(Protocol[T]):
    """Where views and their checkpoints are kept. Any number of projectors may share one, also in several processes.

    Its errors, such as of a database that does not answer, are retried, and raised after the last attempt.
    """

    def begin(self) -> AbstractAsyncContextManager[T]:
        """Return a transaction, as a context manager: leaving it commits, an error within it rolls it back.

        It must isolate at least as well as READ COMMITTED. A commit whose answer was lost may raise: what it has done
        is read from the checkpoint.
        """
        ...

    async def checkpoint(self, tx: T, key: ProjectionKey) -> str | None:
        """Return the checkpoint as it was given to ``move``; None if there is none yet."""
        ...

    async def move(self, tx: T, key: ProjectionKey, expected: str | None, new: str) -> bool:
        """Replace the checkpoint ``expected`` (None: there is none yet) by ``new``, and return True.

        Return False, and change nothing, if it is another one by now. One statement must compare and write, as two
        processes may do so at once: ``UPDATE ... WHERE checkpoint = expected``. A checkpoint has up to 200 characters.
        """
        ...
