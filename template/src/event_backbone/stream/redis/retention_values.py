"""What retention finds in a stream, and what it asks to be removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from event_backbone.model import EventKey, PayloadReference


class Interrupted(Exception):
    """Another process carries out retention, or a restore is under way: nothing was changed."""


class LettersChanged(Exception):
    """There are other dead letters than those that are known: read them again. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class GroupLife:
    """A group as retention sees it.

    Attributes:
        name: the group.
        looked: when a member last looked, or since when the group is known if none has; milliseconds by the server.
        sign: what Redis notes of the last look.
        forgotten: whether it is noted as forgotten.
        dead_letters: how many there are.
    """

    name: str
    looked: int
    sign: bytes
    forgotten: bool
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Survey:
    """The state of a stream at one moment.

    Attributes:
        now: the server's time, aware.
        length: how many entries there are.
        stream_bytes: what the stream takes of Redis' memory, its groups included; 0 if Redis denies to say so.
        first: the key of the first entry; None without one.
        last: the newest key there ever was.
        complete_from: the key from which the stream has no gaps; None if it has none.
        restoring: whether a restore is under way.
        groups: every group.
    """

    now: datetime
    length: int
    stream_bytes: int
    first: EventKey | None
    last: EventKey
    complete_from: EventKey | None
    restoring: bool
    groups: tuple[GroupLife, ...]


class Hold(NamedTuple):
    """Why entries stay: "unread" or "pending" in a group, "dead-letter" or "not-archived"; how many, and the first."""

    reason: str
    group: str
    events: int
    first: EventKey


class Cut(NamedTuple):
    """How many entries a group has lost unfinished, and whether that was because it is forgotten."""

    group: str
    forgotten: bool
    events: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What became of some entries.

    Attributes:
        last: the last entry that was looked at; None without one.
        more: whether there may be more.
        removed: how many entries were removed.
        payload_bytes: what their hashes took, if that was measured.
        holds: why the others stay.
        cuts: the groups that lost entries.
        elsewhere: references to payloads in storages whose hashes are on another Redis.
    """

    last: EventKey | None
    more: bool
    removed: int
    payload_bytes: int
    holds: tuple[Hold, ...]
    cuts: tuple[Cut, ...]
    elsewhere: tuple[PayloadReference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Which entries to remove, in one call.

    Attributes:
        after: the key after which to begin.
        until: the last key that is due.
        count: how many entries to read at most.
        bytes_over: how many bytes are to go; 0 is any number.
        entry_bytes: how many of them an entry takes without its payload.
        cutting: whether living groups and dead letters may lose theirs.
        archived: whether the stream has an archive.
        dry: whether to count only.
        measured: whether to measure what hashes take.
        forgotten: the groups that are forgotten, each with the sign by which it is so.
        letters: the ids of the oldest and the newest dead letter of each group that are known, and how many are.
        sources: the keys of entries of dead letters after ``after``, in order, up to ``most_sources``.
        most_sources: how many are given at most.
    """

    after: EventKey
    until: EventKey
    count: int
    bytes_over: int
    entry_bytes: int
    cutting: bool
    archived: bool
    dry: bool
    measured: bool
    forgotten: Mapping[str, bytes]
    letters: Mapping[str, tuple[str, str, int]]
    sources: Sequence[EventKey]
    most_sources: int
