"""What a restore is about to do, what it does, and what it has done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from event_backbone.model import EventKey

RestoreStep = Literal["restoring archived events", "copying live events", "appending lost events"]


class RestoreLimits(NamedTuple):
    """How old events and dead letters may be to come back, unless they are needed; None is no limit."""

    max_age: timedelta | None = None
    dead_letters_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far a step of a restore is, in events; ``total`` is None where it is not known."""

    step: RestoreStep
    done: int
    total: int | None = None


OnProgress = Callable[[RestoreProgress], None]


def ignore_progress(_: RestoreProgress) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do now. It may be more when it is run, as producers go on.

    Attributes:
        uri: the stream's URI.
        archived: how many events the archive has; None without an archive.
        committed: the last key that is archived; None if none is.
        events_lost: whether Redis has lost events that the archive has, so that the stream is built from it.
        live: how many entries the stream has.
        lost: how many events are found in packs, and neither in the archive nor in the stream: they are appended.
        groups: the groups whose state is in the archive, each with the key up to which it has been delivered.
        unlisted: names of storages whose payloads cannot be found without Redis: what they had and the archive has not
            is lost with Redis.
        restored_from: with retention, the key from which on all archived events come back; of the earlier ones only
            those that a group has pending, that dead letters are about, or that Redis has. None: all come back.
        archive_only: how many archived events do not come back, and stay in the archive alone.
    """

    uri: str
    archived: int | None
    committed: EventKey | None
    events_lost: bool
    live: int
    lost: int
    groups: Mapping[str, EventKey]
    unlisted: tuple[str, ...]
    restored_from: EventKey | None = None
    archive_only: int = 0

    @property
    def nothing_to_do(self) -> bool:
        """Whether Redis has all that the archive and the packs have."""
        return not self.events_lost and not self.lost


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore has done.

    Attributes:
        uri: the stream's URI.
        archived: how many events were restored from the archive, under their keys.
        live: how many events that the stream had were kept; ``moved`` of them under another key.
        moved: how many live events got another key, as theirs was not above those of the archive: a clock was wrong.
        duplicates: how many live events were left out, because the archive has the same event.
        appended: how many events were appended from packs, under new keys and with the header ``restored``.
        gone: how many payloads, or parts of one, are in no storage any more.
        damaged: how many lines of packs could not be read.
        groups: the groups that were restored, each with the key after which it reads on.
        dead_letters: how many dead letters were restored.
        restored_from: with retention, the key from which on all archived events were restored; None: all were.
        archive_only: how many archived events stay in the archive alone.
        took: how long it took.
    """

    uri: str
    archived: int = 0
    live: int = 0
    moved: int = 0
    duplicates: int = 0
    appended: int = 0
    gone: int = 0
    damaged: int = 0
    groups: Mapping[str, EventKey] | None = None
    dead_letters: int = 0
    restored_from: EventKey | None = None
    archive_only: int = 0
    took: timedelta = timedelta(0)
