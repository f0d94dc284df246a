"""What a migration has done, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a migration is, in entries of the stream."""

    done: int
    total: int


OnMigrationProgress = Callable[[MigrationProgress], None]


def ignore_progress(_: MigrationProgress) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class StorageReferences:
    """What refers to a storage now, in Redis.

    Attributes:
        events: how many events of the stream, pending and unread ones included.
        dead_letters: how many dead letters of the stream's groups.
        elsewhere: how many of all these are about events that are no longer in the stream: dead letters, and entries
            that were redriven from the archive. They do not move; redrive or discard them.
        given: whether the backbone was given that storage.
    """

    events: int = 0
    dead_letters: int = 0
    elsewhere: int = 0
    given: bool = True

    @property
    def nothing(self) -> bool:
        """Whether nothing does."""
        return not (self.events or self.dead_letters)


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration has done, or what a dry run found.

    Attributes:
        uri: the stream's URI.
        away_from: the storage that payloads were in.
        to: the storage that they are in now.
        moved: how many events have their payload there now. Each was loaded again from both, and compared.
        erased: how many of them were erased before: they are erased there, too.
        gone: how many of them had no payload any more; they read as gone.
        dead_letters: how many dead letters refer to it now.
        removed: how many hashes were deleted beside the stream, if that was asked for.
        still: what refers to the old storage at the end.
        took: how long it took.
    """

    uri: str
    away_from: str
    to: str
    still: StorageReferences
    moved: int = 0
    erased: int = 0
    gone: int = 0
    dead_letters: int = 0
    removed: int = 0
    took: timedelta = timedelta(0)
