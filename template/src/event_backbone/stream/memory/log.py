"""The contents of one stream in memory."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from event_backbone.errors import GroupMissing
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, NewDeadLetter, StreamName
from event_backbone.stream.values import DeadLetter, Delivery, Entry
from event_backbone.wire import is_inline
from event_backbone.wire.keys import WAITING_CONSUMER

LONGEST_WAIT = timedelta(seconds=1)


class Note(NamedTuple):
    """How earlier attempts at an entry ended; attempt 0 is none.

    ``ends_alone`` counts the ends of marked attempts up to the one that is marked now; ``error`` and ``place`` are
    those of the last recorded failure. ``redrives`` is how often the event was redriven.
    """

    failures: int = 0
    failed_attempt: int = 0
    ends_alone: int = 0
    marked_attempt: int = 0
    error: str = ""
    place: tuple[str, ...] = ()
    redrives: int = 0

    def ends_alone_before(self, attempt: int) -> int:
        """Return how many attempts before this one ended while they were marked as running alone."""
        return self.ends_alone + (0 < self.marked_attempt < attempt)


@dataclass(slots=True)
class Pending:
    """A delivered entry: its consumer, how often it was delivered, and since when it is pending (milliseconds)."""

    consumer: str
    attempt: int
    since: int


@dataclass(slots=True)
class Group:
    """A consumer group: the last entry delivered, what is pending, and the names of its consumers."""

    last: EventKey
    pending: dict[EventKey, Pending] = field(default_factory=dict[EventKey, Pending])
    consumers: set[str] = field(default_factory=set[str])

    def keys_of(self, consumer: str) -> list[EventKey]:
        """Return what is pending under this name, oldest first."""
        return sorted(key for key, pending in self.pending.items() if pending.consumer == consumer)


@dataclass(slots=True)
class Membership:
    """What Redis keeps of a group outside it, in keys that outlive the group. Times are in milliseconds.

    Attributes:
        rows: when each member's lease ends.
        due: when each parked entry is to be delivered again.
        notes: how earlier attempts ended.
        follow_ups: what is kept of the follow-up events of each entry.
        looked: when a member last looked.
        hold: until when nothing is taken from ended rows.
        swept: when names without a row were last given one.
        longest_lease: the longest lease that a member had.
        skipped: after which entry, and up to which, the group skipped entries when it was last moved forward.
    """

    rows: dict[str, int] = field(default_factory=dict[str, int])
    due: dict[EventKey, int] = field(default_factory=dict[EventKey, int])
    notes: dict[EventKey, Note] = field(default_factory=dict[EventKey, Note])
    follow_ups: dict[EventKey, dict[FollowUp, KeptFollowUp]] = field(
        default_factory=dict[EventKey, dict[FollowUp, KeptFollowUp]]
    )
    looked: int | None = None
    hold: int = 0
    swept: int = 0
    longest_lease: int = 0
    skipped: tuple[EventKey, EventKey] | None = None

    def note(self, key: EventKey, attempt: int) -> Note:
        """Return the note on an entry; a note beyond its delivery count is from an earlier group of this name."""
        note = self.notes.get(key, Note())
        return Note() if max(note.failed_attempt, note.marked_attempt) > attempt else note

    def delivery(self, entry: Entry, attempt: int) -> Delivery:
        """Return the entry as handed to a member."""
        note = self.note(entry.key, attempt)
        return Delivery(entry, attempt, note.failures, note.ends_alone_before(attempt))


@dataclass(slots=True)
class Log:
    """One stream: its entries in order, its groups, and what Redis keeps in keys beside the stream."""

    name: StreamName
    wall: Callable[[], float]
    last: EventKey
    added: int = 0
    keys: list[EventKey] = field(default_factory=list[EventKey])
    entries: dict[EventKey, Entry] = field(default_factory=dict[EventKey, Entry])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    memberships: dict[str, Membership] = field(default_factory=dict[str, Membership])
    dead: dict[str, dict[str, DeadLetter]] = field(default_factory=dict[str, dict[str, DeadLetter]])
    dead_letters_so_far: int = 0
    tombstones: set[EventKey] = field(default_factory=set[EventKey])
    seen: dict[UUID, EventKey] = field(default_factory=dict[UUID, EventKey])
    tokens: dict[str, tuple[UUID, str, float]] = field(default_factory=dict[str, tuple[UUID, str, float]])
    hashes: dict[str, Mapping[str, bytes]] = field(default_factory=dict[str, Mapping[str, bytes]])
    readers: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])

    def now(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self.wall() * 1000)

    def group(self, name: str) -> Group:
        """Return a group; raise GroupMissing."""
        try:
            return self.groups[name]
        except KeyError:
            raise GroupMissing(f"Stream {self.name.key} has no consumer group {name!r}.") from None

    def membership(self, group: str) -> Membership:
        """Return what is kept of this group, even while it does not exist."""
        return self.memberships.setdefault(group, Membership())

    def add(self, fields: Mapping[bytes, bytes]) -> EventKey:
        """Append an entry and notify blocked readers."""
        milliseconds = max(self.now(), self.last.milliseconds)
        sequence = self.last.sequence + 1 if milliseconds == self.last.milliseconds else 0
        key = self.last = EventKey(milliseconds, sequence, self.name.partition)
        self.added += 1
        self.keys.append(key)
        self.entries[key] = Entry(key, dict(fields))
        self.notify()
        return key

    def from_key(self, start: EventKey | None, count: int, *, exclusive: bool = False) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start``, or after it if ``exclusive``."""
        first = 0 if start is None else bisect_left(self.keys, start)
        if exclusive and first < len(self.keys) and self.keys[first] == start:
            first += 1
        return [self.entries[key] for key in self.keys[first : first + count]]

    def after(self, key: EventKey) -> Sequence[EventKey]:
        """Return the keys of all entries after ``key``."""
        return self.keys[bisect_right(self.keys, key) :]

    def before_key(self, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries before ``end`` (None: the newest), newest first."""
        last = len(self.keys) if end is None else bisect_left(self.keys, end)
        return [self.entries[key] for key in reversed(self.keys[max(0, last - count) : last])]

    def remove(self, key: EventKey) -> None:
        """Remove an entry; it stays pending where it is."""
        if self.entries.pop(key, None) is not None:
            self.keys.remove(key)

    def finish(self, group: str, key: EventKey) -> None:
        """Finish an entry for a group: it is no longer pending, and nothing of it is kept."""
        self.end(group, key)
        self.membership(group).follow_ups.pop(key, None)

    def end(self, group: str, key: EventKey) -> None:
        """End the delivery of an entry to a group: it is no longer pending, and its note is removed."""
        del self.group(group).pending[key]
        self.membership(group).notes.pop(key, None)

    def park(self, group: str, key: EventKey, attempt: int, after: int = 0) -> None:
        """Park an entry with this delivery count, due ``after`` milliseconds from now. Notifies nobody."""
        state, now = self.group(group), self.now()
        state.pending[key] = Pending(WAITING_CONSUMER, attempt, now)
        state.consumers.add(WAITING_CONSUMER)
        self.membership(group).due[key] = now + after

    def add_dead_letter(self, group: str, key: EventKey, letter: NewDeadLetter, attempts: int) -> None:
        """Add a dead letter with a copy of the entry, without an inline payload."""
        letters = self.dead.setdefault(group, {})
        self.dead_letters_so_far += 1
        now = self.wall()
        entry = self.entries.get(key)
        fields = {} if entry is None else {name: entry.fields[name] for name in entry.fields if not is_inline(name)}
        letter_id = f"{int(now * 1000)}-{self.dead_letters_so_far}"
        letters[letter_id] = DeadLetter(
            id=letter_id,
            entry=Entry(key, fields),
            reason=letter.reason,
            detail=letter.detail,
            error=letter.error,
            place=letter.place,
            attempts=attempts,
            failed_at=datetime.fromtimestamp(now, UTC),
            redrives=self.membership(group).note(key, attempts).redrives,
        )

    def notify(self) -> None:
        """Let every blocked reader check for entries."""
        for future in self.readers:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for ``notify``, no longer than ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self.readers.add(future)
        try:
            await asyncio.wait((future,), timeout=seconds)
        finally:
            self.readers.discard(future)
