"""What every stream of events guarantees."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from event_backbone.errors import StreamError
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, NewDeadLetter, StreamName
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.values import (
    MOST_COUNTED,
    Comparison,
    Delivery,
    Entry,
    GroupState,
    Lease,
    Look,
    Missed,
    NewEntry,
    Parking,
    Reservation,
    Start,
)


class Stream(Protocol):
    """The ordered entries of one stream.

    Among them may be redriven ones (``wire.redriven``), which are not events; whoever reads events passes over them.

    All methods may be called concurrently. They raise StreamUnavailable when the server does not answer or refuses for
    now; the call may then have taken effect.
    """

    @property
    def name(self) -> StreamName:
        """The stream's name."""
        ...

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Append entries in order; return a key or an error for each.

        May be called again with the same event ids: within the deduplication window, which begins with the time in
        the id, an event id makes one entry, and every call returns the key of that entry. For an id older than the
        window the error is EventIdExpired, for one further ahead of the server's clock EventIdAhead. The hashes of an
        entry are written with it or not at all.
        """
        ...

    async def get(self, key: EventKey) -> Entry | None:
        """Return the entry with this key, or None."""
        ...

    async def range(self, start: EventKey | None, end: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start`` (inclusive; None: the first) to before ``end``, in order."""
        ...

    async def before(self, key: EventKey | None, count: int) -> Sequence[Entry]:
        """Return up to ``count`` entries before ``key`` (None: the newest), newest first."""
        ...

    async def after(self, key: EventKey, count: int, wait: timedelta) -> Sequence[Entry]:
        """Return up to ``count`` entries after ``key``, waiting up to ``wait`` (at most 1 s) for the first."""
        ...

    async def find(self, event_id: UUID) -> EventKey | None:
        """Return the key of the entry with this event id, or None; reads all entries that were appended near its time.

        For an id older than the deduplication window, which the stream no longer remembers, the answer is final. It
        reads from the id's own time to the window's end first, then as far before, as of a producer whose clock was
        ahead.
        """
        ...

    async def last_key(self) -> EventKey:
        """Return the key of the newest entry there ever was; ``EventKey(0)`` when there was none."""
        ...

    async def complete_from(self) -> EventKey | None:
        """Return the key from which the stream has no gaps; None: it has none anywhere.

        Retention has removed entries before it. Some may be there still, those that somebody needs.
        """
        ...

    async def reserve(self, token: str, request: str, event_id: UUID, keep: timedelta) -> Reservation:
        """Keep ``event_id`` for ``token`` unless one is kept already; ``request`` is a digest to compare by.

        May be called again. The event id is forgotten after ``keep``, counted from the first call.
        """
        ...

    async def erase(self, key: EventKey) -> bool:
        """Delete the entry with this key, and remember permanently that it was erased; return whether it was there.

        One step. Where the entry is pending it stays so, until its member finishes it or a look finds it erased.
        """
        ...

    async def erased(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return which of these entries were erased."""
        ...

    async def groups(self, expected: Collection[str] = (), *, most_counted: int = MOST_COUNTED) -> Sequence[GroupState]:
        """Return the state of every consumer group, in one round trip.

        A group that is ``expected`` and does not exist is returned as it would be made at the beginning: nothing is
        read. Where the server has lost count of what a group has not read, up to ``most_counted`` (at least 1) entries
        are counted, a thousand in each round trip; ``unread`` is an upper bound if there are more.
        """
        ...


class GroupReader(Protocol):
    """How one member of a group gets entries. A new entry goes to one member of the group only.

    A redriven entry goes to every group, and is only for the one that it names; the others ack it.

    A member's lease is its row, which says until when, by the server's clock, what is pending under its name belongs to
    it; each look renews it. ``read``, ``look`` and ``compare`` raise GroupMissing when the group is gone; ``ensure``
    creates it again. The three must not be called at the same time.
    """

    async def ensure(self, start: Start) -> bool:
        """Create the group (without past attempts, due times and follow-up events) and the stream, unless they exist.

        Return whether the group was created.
        """
        ...

    async def missed(self) -> Missed | None:
        """Return what retention has removed before the group had finished it; None if that is nothing.

        Also None once the group has read on, and has looked since.
        """
        ...

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no member of the group has had, waiting up to ``wait`` (at most 1 s).

        Never cancel it, because it may still be given entries: ``wake`` ends it. Entries of a lost answer are pending
        under this member's name; ``compare`` finds them.
        """
        ...

    async def wake(self) -> None:
        """End a blocking ``read`` at once, and return when it has ended. May be called at any time. Never raises."""
        ...

    async def look(self, lease: timedelta, limit: int) -> Look:
        """Renew this member's row for ``lease`` from now, and take over up to ``limit`` (at most 100) entries.

        It takes what is due from ``WAITING_CONSUMER``, then what is pending under names whose row has ended, each
        oldest first and up to half of what is left of ``limit``; each counts as a delivery. A name left empty is
        removed with its row. Every quarter of a lease one look of the group gives each name without a row one that ends
        a lease later, and makes parked entries without a due time due now.

        When nobody has looked for 5 s (half a lease if shorter), nothing is taken from ended rows for 10 s (half a
        lease if shorter), so that every living member can renew its row first. When the server's clock went back, all
        rows are dropped as well, and due times move with the clock. A ``limit`` of 0 only renews. Entries of a lost
        answer are pending under this member's name; ``compare`` finds them.
        """
        ...

    async def compare(self, in_flight: Collection[Lease]) -> Comparison:
        """Compare what this member has in flight with what is pending under its name; no delivery is counted."""
        ...

    async def leave(self) -> None:
        """Remove this member if nothing is pending under its name; else end its row, so that others take it at once."""
        ...


class FollowUps(Protocol):
    """What is kept of the follow-up events of an entry that is being handled."""

    async def reserve_follow_up(
        self, lease: Lease, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None
    ) -> KeptFollowUp | None:
        """Keep ``event_id`` for a follow-up event of the entry unless one is kept already; return what is kept then.

        ``instead_of`` is replaced if it is what is kept, and has no key. Returns None if the lease was lost. What is
        kept of an entry is forgotten when it is finished other than as a dead letter, and when the group is created.
        """
        ...

    async def note_follow_up(self, entry: EventKey, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key of a follow-up event, unless nothing or another event id is kept of it. May be called again."""
        ...


class GroupLeases(FollowUps, Protocol):
    """What a member may do with its leases: (member, delivery count) is compared, and nothing else.

    So a member whose row has ended may act on what nobody has taken, and one that lost a lease can do nothing with it.
    Each method is one atomic step at the server (per thousand leases), and returns the keys whose lease was lost: all,
    when the group is gone. Each may be called again after StreamUnavailable. When an answer is lost, ``ack``, ``park``,
    ``release`` and ``dead_letter`` repeat the call once. From then on, and in every later call for the same lease, what
    is no longer this member's (``ack`` and ``dead_letter``: what is pending for nobody) counts as done by an earlier
    call.
    """

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries. An entry that is finished already counts as lost: its member must not act on it."""
        ...

    async def park(
        self,
        lease: Lease,
        after: timedelta,
        *,
        limit: int | None = None,
        failed: bool = True,
        error: str = "",
        place: tuple[str, ...] = (),
    ) -> Parking:
        """Note a failure of this attempt and park the entry: some member's look takes it ``after`` from now.

        The next delivery is the next attempt. Unless it ``failed``, nothing is noted, and this attempt is not counted.
        ``error`` is the name of the error's type, ``place`` where it was raised.
        With ``limit`` entries of the group parked already (None: no limit), it returns ``full``.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries back to the group, due now; the attempt is not counted. A mark of running alone is removed."""
        ...

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its member: if its process ends now, this event is blamed."""
        ...

    async def unmark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Take the mark back: others run beside it now."""
        ...

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step: both or neither.

        An inline payload is not copied. Of an entry that was deleted from the stream the dead letter holds no fields.
        The dead letter of a redriven entry is that of its event, and has the key of the event's own entry. What is kept
        of follow-up events stays.
        """
        ...


class Streams(Protocol):
    """Opens streams and groups by name; ``close`` closes them all."""

    def stream(self, name: StreamName) -> Stream:
        """Return the stream of this name, which need not exist yet."""
        ...

    def group_reader(self, name: StreamName, group: str, member: str) -> GroupReader:
        """Return one member's reading side; it may keep a connection until ``leave`` or ``close``.

        ``member`` must never have been used before, and must not be ``WAITING_CONSUMER``.
        """
        ...

    def group_leases(self, name: StreamName, group: str, member: str) -> GroupLeases:
        """Return one member's leases."""
        ...

    def group_admin(self, name: StreamName, group: str) -> GroupAdmin:
        """Return a group's administration."""
        ...

    async def check(self) -> None:
        """Check that the server answers and is suitable; raise StreamUnavailable or ConfigurationError."""
        ...

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        ...
