"""What goes into a stream of events and comes out of it.

What is made for every event is a named tuple rather than a frozen dataclass: fast path, see decision 0010.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple
from uuid import UUID

from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey, HashWrite, Payload
from event_backbone.wire.fields import EPOCH

Start = Literal["beginning", "now"] | EventKey | datetime
"""Where a new consumer group begins: a key or an aware time is inclusive."""


MOST_COUNTED = 10_000
"""How many entries are counted at most, of those that a group has not read, where the server has lost count."""

NOT_INLINE: Payload = MappingProxyType({})
"""For an entry whose payload is elsewhere, or is inline and empty."""


class NewEntry(NamedTuple):
    """An entry to append: its event's id, its encoded metadata, hashes to write in the same step, an inline payload."""

    event_id: UUID
    metadata: bytes
    writes: tuple[HashWrite, ...] = ()
    inline: Payload = NOT_INLINE


class Entry(NamedTuple):
    """An entry as it is in the stream; ``fields`` are its bytes, not yet read."""

    key: EventKey
    fields: Mapping[bytes, bytes]


class Delivery(NamedTuple):
    """An entry handed to one member of a group.

    ``attempt`` is the server's delivery count, this delivery included; with the member's name it is the lease.
    ``failures`` counts the earlier deliveries that ended in a recorded failure, ``ends_alone`` those that ended their
    process while they were marked as the only one running. Other deliveries left no note, as in a crash.
    """

    entry: Entry
    attempt: int
    failures: int = 0
    ends_alone: int = 0


class Lease(NamedTuple):
    """The right to act on a pending entry: it ends when another member takes the entry."""

    key: EventKey
    attempt: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a look brought.

    Attributes:
        deliveries: what was due, and what members whose row has ended left behind; each counted as a delivery.
        vanished: pending entries that are no longer in the stream: lost events.
        erased: pending entries that were erased (``Stream.erase``); they need no handling any more.
        more: there is more to take than the look was allowed to.
        row_ended: this member's own row had ended, or was missing: others may have taken what it has in flight.
        parked: how many entries of the group wait for their due time.
    """

    deliveries: tuple[Delivery, ...] = ()
    vanished: tuple[EventKey, ...] = ()
    erased: tuple[EventKey, ...] = ()
    more: bool = False
    row_ended: bool = False
    parked: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How what a member has in flight compares with what the server has pending under its name.

    Attributes:
        lost: leases that are no longer this member's.
        deliveries: what only the server knew, as after a lost answer; not counted again.
        vanished: entries only the server knew, and that are no longer in the stream: lost events.
        erased: entries only the server knew, and that were erased.
    """

    lost: frozenset[EventKey] = frozenset()
    deliveries: tuple[Delivery, ...] = ()
    vanished: tuple[EventKey, ...] = ()
    erased: tuple[EventKey, ...] = ()


Parking = Literal["parked", "lost", "vanished", "erased", "full"]
"""What became of an entry to be parked; ``full`` and ``lost`` changed nothing, ``vanished`` and ``erased`` ended it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a group could not handle.

    ``id`` identifies the dead letter in its group; ``entry`` is a copy of the entry without an inline payload;
    ``redrives`` is how often the event was redriven before.
    """

    id: str
    entry: Entry
    reason: str
    detail: str
    error: str
    place: tuple[str, ...]
    attempts: int
    failed_at: datetime
    redrives: int = 0


Redrive = Literal["redriven", "gone", "not-found"]
"""What became of a dead letter to be redriven: ``gone`` is the dead letter, ``not-found`` the entry of its event."""


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An entry that was delivered, and neither acked nor dead-lettered.

    Attributes:
        key: the event's key; if that was redriven from the archive, the key of the redriven entry.
        consumer: the consumer that has it; None while it is parked.
        attempt: the attempt that is under way; of a parked entry, the last one.
        idle: since when the consumer has it, or it is parked.
        due: when a parked entry is to be delivered again (aware, the server's clock); None while a consumer has it.
        failures: how many attempts failed.
        error: the name of the type of the last failure's error; empty without a failure.
        place: where that was raised, as ``place_of`` returns it.
        redrives: how often it was redriven since it was first dead-lettered.
    """

    key: EventKey
    consumer: str | None
    idle: timedelta
    attempt: int
    due: datetime | None = None
    failures: int = 0
    error: str = ""
    place: tuple[str, ...] = ()
    redrives: int = 0


class Missed(NamedTuple):
    """How many entries a group has not finished, because they were removed first, and the last of their keys."""

    events: int
    until: EventKey


@dataclass(frozen=True, slots=True)
class GroupState:
    """The state of a group.

    Attributes:
        name: the group.
        consumers: how many consumers it has.
        pending: how many entries are delivered and not finished, parked ones included.
        unread: how many it has not read. Exact, unless it is more than 10,000 and the server has lost count, as of a
            group that began in the middle of the stream or has deleted entries ahead: then it is an upper bound.
        dead_letters: how many it has.
        last_delivered: the last entry that it was given.
        parked: how many failed entries wait for their next attempt.
        due: how many of these need not wait any longer.
        oldest_unread: how long ago, by the server's clock, the oldest unread entry was appended; None without any.
        oldest_pending: the same of the oldest pending one; of a redriven one since then, if it had left the stream.
        finished: grows with each entry that is finished: only the difference between two states of a stream matters.
        exists: False for a group that was asked for, and that its first consumer will make.
        looked: when a consumer last showed itself (aware, the server's clock); None if that is not known.
        forgotten: whether it no longer keeps entries from being removed, as it has had no consumer for too long.
        cut: how many entries were removed before it had finished them, when that last happened; 0 is none.
        cut_until: the key of the last of these.
        cut_at: when that was removed.
        skipped_after: the key after which it was last moved forward.
        skipped_until: the key up to which it has skipped entries by that.
    """

    name: str
    consumers: int
    pending: int
    unread: int
    dead_letters: int
    last_delivered: EventKey
    parked: int = 0
    due: int = field(default=0, compare=False)
    oldest_unread: timedelta | None = field(default=None, compare=False)
    oldest_pending: timedelta | None = field(default=None, compare=False)
    finished: int = field(default=0, compare=False)
    exists: bool = True
    looked: datetime | None = None
    forgotten: bool = False
    cut: int = 0
    cut_until: EventKey | None = None
    cut_at: datetime | None = None
    skipped_after: EventKey | None = None
    skipped_until: EventKey | None = None

    @property
    def in_flight(self) -> int:
        """How many entries consumers have been given and not finished; parked ones are not among them."""
        return max(0, self.pending - self.parked)

    @property
    def backlog(self) -> int:
        """How many entries need a consumer now: unread, in flight, or parked and due.

        It is above 0 whenever a worker has something to do, and 0 while all that is left waits for its next attempt.
        """
        return self.unread + self.in_flight + self.due


@dataclass(frozen=True, slots=True)
class GroupMove:
    """How far a group was moved.

    Attributes:
        left: the last entry that it had been given before.
        came_again: pending entries that it gave up, since it reads them again.
        vanished: pending entries that it gave up and that had left the stream: nobody can read them again.
    """

    left: EventKey
    came_again: int
    vanished: int


@dataclass(frozen=True, slots=True)
class GroupDeletion:
    """What a deletion removes, or would remove, or why it removes nothing.

    Attributes:
        exists: whether there is a group, or anything that is kept of one.
        consumers: how many consumers of the group are alive. With any, nothing is removed.
        pending: how many entries are delivered and not finished, parked ones included.
        parked: how many of these wait for their next attempt.
        dead_letters: how many dead letters there are. They are removed only if that was asked for; if not, and there
            are any, nothing is removed.
    """

    exists: bool
    consumers: int
    pending: int
    parked: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """The event id kept for an idempotency token, and whether the token came with the same request before."""

    event_id: UUID
    same_request: bool


def check_start(name: str, start: object) -> None:
    """Raise ConfigurationError unless ``start``, which the caller calls ``name``, is a ``Start``."""
    if isinstance(start, datetime) and start.tzinfo is None:
        raise ConfigurationError(f"{name} must be an aware time, such as datetime.now(UTC).")
    known = start in {"beginning", "now"} if isinstance(start, str) else isinstance(start, EventKey | datetime)
    if not known:
        raise ConfigurationError(
            f'{name} must be an aware time, "beginning", "now", or an EventKey (EventKey.parse("1764041094123-0")), '
            f"not {start!r:.60}."
        )


def key_before(start: EventKey | datetime | Literal["beginning"], partition: int = 0) -> EventKey:
    """Return the key after which a group that begins at ``start`` reads on."""
    if start == "beginning":
        return EventKey(0, 0, partition)
    if isinstance(start, datetime):
        start = EventKey(max(0, (start - EPOCH) // timedelta(milliseconds=1)))
    return EventKey(start.milliseconds, start.sequence, partition).predecessor()
