"""What a member does with its leases, in memory."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

from event_backbone.model import EventKey, FollowUp, KeptFollowUp, NewDeadLetter
from event_backbone.stream.memory.log import Log, Note
from event_backbone.stream.values import Lease, Parking


class MemoryGroupLeases:
    """Implements ``stream.base.GroupLeases``. No answer is ever lost here."""

    def __init__(self, log: Log, group: str, member: str) -> None:
        """Act for this member of this group."""
        self._log = log
        self._group = group
        self._member = member

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries."""
        return self._each(leases, lambda lease: self._log.finish(self._group, lease.key))

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
        """Note a failure of this attempt and park the entry: some member's look takes it ``after`` from now."""
        kept = self._log.membership(self._group)
        if not self._holds(lease):
            return "lost"
        if limit is not None and len(kept.due) >= limit:
            return "full"
        if lease.key not in self._log.entries:
            self._log.finish(self._group, lease.key)
            return "erased" if lease.key in self._log.tombstones else "vanished"
        milliseconds = after // timedelta(milliseconds=1)
        if not failed:
            self._give_back(lease, milliseconds)
            return "parked"
        note = self._note(lease)
        kept.notes[lease.key] = Note(
            note.failures + 1,
            lease.attempt,
            note.ends_alone_before(lease.attempt),
            error=error,
            place=place,
            redrives=note.redrives,
        )
        self._log.park(self._group, lease.key, lease.attempt, milliseconds)
        return "parked"

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries back to the group, due now; the attempt is not counted. A mark of running alone is removed."""

        def give_back(lease: Lease) -> None:
            if lease.key not in self._log.entries:
                self._log.finish(self._group, lease.key)
                return
            self._give_back(lease, 0)

        return self._each(leases, give_back)

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its member."""

        def mark(lease: Lease) -> None:
            note = self._note(lease)
            self._log.membership(self._group).notes[lease.key] = note._replace(
                ends_alone=note.ends_alone_before(lease.attempt), marked_attempt=lease.attempt
            )

        return self._each((lease,), mark)

    async def unmark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Take the mark back: others run beside it now."""
        return self._each((lease,), self._unmark)

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step."""

        def move(lease: Lease) -> None:
            self._log.add_dead_letter(self._group, lease.key, letter, lease.attempt)
            self._log.end(self._group, lease.key)

        return self._each((lease,), move)

    async def reserve_follow_up(
        self, lease: Lease, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None
    ) -> KeptFollowUp | None:
        """Keep ``event_id`` for a follow-up event unless one is kept already; return what is kept."""
        if not self._holds(lease):
            return None
        follow_ups = self._log.membership(self._group).follow_ups.setdefault(lease.key, {})
        kept = follow_ups.get(follow_up)
        if kept is None or (kept.event_id == instead_of and kept.key is None):
            kept = follow_ups[follow_up] = KeptFollowUp(event_id)
        return kept

    async def note_follow_up(self, entry: EventKey, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key of a follow-up event, unless nothing or another event id is kept of it by now."""
        follow_ups = self._log.membership(self._group).follow_ups.get(entry, {})
        kept = follow_ups.get(follow_up)
        if kept is not None and kept.event_id == event_id:
            follow_ups[follow_up] = KeptFollowUp(event_id, key)

    def _each(self, leases: Sequence[Lease], act: Callable[[Lease], None]) -> frozenset[EventKey]:
        """Act on every lease that is still this member's; return the keys of the others."""
        lost: set[EventKey] = set()
        for lease in leases:
            if self._holds(lease):
                act(lease)
            else:
                lost.add(lease.key)
        return frozenset(lost)

    def _holds(self, lease: Lease) -> bool:
        group = self._log.groups.get(self._group)
        pending = None if group is None else group.pending.get(lease.key)
        return pending is not None and (pending.consumer, pending.attempt) == (self._member, lease.attempt)

    def _note(self, lease: Lease) -> Note:
        return self._log.membership(self._group).note(lease.key, lease.attempt)

    def _give_back(self, lease: Lease, after: int) -> None:
        """Park an entry as it was before this attempt."""
        self._unmark(lease)
        self._log.park(self._group, lease.key, lease.attempt - 1, after)

    def _unmark(self, lease: Lease) -> None:
        note = self._note(lease)
        if note.marked_attempt == lease.attempt:
            self._log.membership(self._group).notes[lease.key] = note._replace(marked_attempt=0)
