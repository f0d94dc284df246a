"""What a stream of events guarantees, whatever keeps it.

What is made for every event is a named tuple, at a third of what a frozen dataclass costs to make.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from event_backbone.errors import StreamError
from event_backbone.metadata import EventKey, HashWrite, StreamName

Start = Literal["beginning", "now"] | EventKey | datetime
"""Where a new consumer group begins: a key or an aware time is inclusive."""

RELEASED_CONSUMER = "released"
"""The consumer that holds what was given back: nobody reads under this name, so anybody may claim it."""


class NewEntry(NamedTuple):
    """An entry to append: the event's id, its encoded metadata, and hashes to write in the same step."""

    event_id: UUID
    metadata: bytes
    writes: tuple[HashWrite, ...] = ()


class Entry(NamedTuple):
    """An entry as it stands in the stream; ``fields`` are its bytes, not yet understood."""

    key: EventKey
    fields: Mapping[bytes, bytes]


class Delivery(NamedTuple):
    """An entry handed to one consumer of a group.

    ``attempt`` is the server's delivery count, this delivery included; with the consumer's name it is the lease.
    ``failures`` counts the earlier deliveries that ended in a recorded failure; the others ended in a crash.
    ``ran_alone`` tells that an earlier delivery was the only event its process was handling.
    """

    entry: Entry
    attempt: int
    failures: int = 0
    ran_alone: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim took over, and the keys of pending entries that are no longer in the stream: lost events."""

    deliveries: tuple[Delivery, ...]
    vanished: tuple[EventKey, ...] = ()


class Lease(NamedTuple):
    """The right to act on a pending entry: it ends when another consumer takes the entry over."""

    key: EventKey
    attempt: int


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """Why an event is given up: a short word, a detail without payload, and the error's type."""

    reason: str
    detail: str
    error: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group has given up. ``id`` names the dead letter within its group; ``entry`` is a copy."""

    id: str
    entry: Entry
    reason: str
    detail: str
    error: str
    attempts: int
    failed_at: datetime


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that was delivered and neither acked nor given up."""

    key: EventKey
    consumer: str
    idle: timedelta
    attempt: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """How a group stands. ``unread`` is None when the server cannot tell."""

    name: str
    consumers: int
    pending: int
    unread: int | None
    dead_letters: int
    last_delivered: EventKey


@dataclass(frozen=True, slots=True)
class Reservation:
    """The event id kept for an idempotency token, and whether the token came with the same request before."""

    event_id: UUID
    same_request: bool


class Stream(Protocol):
    """The ordered entries of one stream.

    All methods may be called concurrently. StreamUnavailable rises when the server does not answer or refuses for
    now; the call may then have taken effect.
    """

    @property
    def name(self) -> StreamName:
        """The stream's name."""
        ...

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Append entries in order; answer a key or an error for each.

        May be called again with the same event ids: within the deduplication window, which begins with the time in
        the id, an event id makes one entry, and every call answers the key of that entry. An id older than the window
        is answered EventIdExpired. The hashes of an entry are written with it or not at all.
        """
        ...

    async def get(self, key: EventKey) -> Entry | None:
        """Return the entry with this key, or None."""
        ...

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start`` (inclusive; None: the first) to before ``end``, in order."""
        ...

    async def after(self, key: EventKey, count: int, wait: timedelta) -> Sequence[Entry]:
        """Return up to ``count`` entries after ``key``, waiting up to ``wait`` (at most 1 s) for the first."""
        ...

    async def last_key(self) -> EventKey:
        """Return the key of the newest entry there ever was; ``EventKey(0)`` when there was none."""
        ...

    async def reserve(self, token: str, request: str, event_id: UUID, keep: timedelta) -> Reservation:
        """Keep ``event_id`` for ``token`` unless one is kept already; ``request`` is a digest to compare by.

        May be called again. What is kept is forgotten after ``keep``, counted from the first call.
        """
        ...

    async def groups(self) -> Sequence[GroupState]:
        """Return the state of every consumer group."""
        ...


class GroupReader(Protocol):
    """How one consumer of a group gets entries. A new entry goes to one consumer of the group only.

    GroupMissing rises from ``read``, ``claim`` and ``recover`` when the group is gone; ``ensure`` makes it anew.
    """

    async def ensure(self, start: Start) -> bool:
        """Make the group (without past attempts) and the stream, unless they exist; return whether it was made."""
        ...

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no consumer of the group has had, waiting up to ``wait`` (at most 1 s).

        One at a time. Never cancel it, it may still be given entries: ``wake`` ends it. Entries of a lost answer are
        pending under this consumer's name; ``recover`` finds them.
        """
        ...

    async def wake(self) -> None:
        """End a waiting ``read`` at once, and return when it has ended. May be called when none waits. Never raises."""
        ...

    async def claim(self, count: int, idle: timedelta, held: Collection[EventKey]) -> Claimed:
        """Take over up to ``count`` (at most 100) entries that nobody has renewed for ``idle``, except ``held``.

        Raises their attempt by one. Each call goes on where the last one stopped, at a bounded cost, so it may find
        nothing though there is something further on. Pending entries that were deleted from the stream are dropped
        and told, however fresh. Entries of a lost answer are found by ``recover``.
        """
        ...

    async def recover(self, held: Collection[EventKey]) -> Sequence[Delivery]:
        """Return what is pending under this consumer's name and not in ``held``, attempts unchanged, leases renewed."""
        ...

    async def leave(self, crashed_after: timedelta) -> None:
        """Delete this consumer, and others idle for ``crashed_after``, each only if nothing is pending for it."""
        ...


class GroupLeases(Protocol):
    """What the holder of leases may do with them. Who lost a lease can do nothing, and is told so.

    Each method is one atomic step at the server (per thousand leases), and answers with the keys whose lease was lost:
    all, when the group is gone. Each may be called again after StreamUnavailable. When an answer is lost, ``ack`` and
    ``dead_letter`` ask once more, and then, as in every later call for the same lease, take an entry that is pending
    for nobody as finished by an earlier try.
    """

    async def renew(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Start the leases' time anew, without counting an attempt."""
        ...

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries. An entry that is finished already counts as lost: its holder must not act on it."""
        ...

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries back to the group, claimable at once by anybody.

        The attempt is taken back, unless its failure is recorded: then it was begun, and stays counted.
        """
        ...

    async def record_failure(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt ended in a handled failure; a second time changes nothing. The lease goes on."""
        ...

    async def begin_attempt(self, lease: Lease) -> Delivery | None:
        """Begin the next attempt of an entry that waited, None when the lease was lost; called again it is the same."""
        ...

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its process."""
        ...

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step: when the first fails, so does the other.

        Of an entry that was deleted from the stream the dead letter holds no fields.
        """
        ...


class GroupAdmin(Protocol):
    """What people do with a group from outside, while consumers run. Without the group, GroupMissing rises."""

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first; released ones are idle for a year."""
        ...

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        ...

    async def redrive(self, dead_letter: DeadLetter) -> bool:
        """Deliver the event to this group again, as if for the first time, and remove the dead letter, in one step.

        The next claim of any consumer gets it, as attempt 1. Where the group (made anew) has not read the entry yet,
        or has it pending, it comes by itself, and only the dead letter is removed. False when the dead letter was gone
        (redriven by another). EventNotFound when the entry has left the stream; the dead letter stays then.
        """
        ...


class Streams(Protocol):
    """Opens streams and groups by name; what it opens needs no closing of its own."""

    def stream(self, name: StreamName) -> Stream:
        """Return the stream of this name, which need not exist yet."""
        ...

    def group_reader(self, name: StreamName, group: str, consumer: str) -> GroupReader:
        """Return one consumer's reading side; it may keep a connection until ``leave`` or ``close``."""
        ...

    def group_leases(self, name: StreamName, group: str, consumer: str) -> GroupLeases:
        """Return one consumer's leases."""
        ...

    def group_admin(self, name: StreamName, group: str) -> GroupAdmin:
        """Return a group's administration."""
        ...

    async def check(self) -> None:
        """Ask the server for a sign of life; raise StreamUnavailable or ConfigurationError with one sentence."""
        ...

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        ...
