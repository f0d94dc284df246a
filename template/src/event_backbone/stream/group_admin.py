"""What every stream lets people do with a consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from event_backbone.model import EventKey
from event_backbone.stream.values import DeadLetter, GroupDeletion, GroupMove, PendingEntry, Redrive


class GroupAdmin(Protocol):
    """What people do with a group from outside, while consumers run. Dead letters outlive their group."""

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first. Raises GroupMissing."""
        ...

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        ...

    async def newest_dead_letter(self) -> str | None:
        """Return the id of the newest dead letter; None without any. Ids grow."""
        ...

    async def redrive(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Redrive]:
        """Deliver events to this group again, as if for the first time, and remove their dead letters.

        Return what became of each, in order; each is one step, as in ``GroupLeases``. Such an event is due now, so the
        next look of any member takes it, as attempt 1. An entry that the group (created again) has not read yet, or
        that is pending, will be delivered anyway, and only the dead letter is removed. A dead letter that is gone, as
        somebody else redrove or discarded it, changes nothing. When the entry has left the stream, the dead letter
        stays. Raises GroupMissing.
        """
        ...

    async def redriven(self, key: EventKey) -> Mapping[EventKey, int]:
        """Return the redriven entries of an event that are not finished, and how often it was redriven by then."""
        ...

    async def discard(self, dead_letters: Sequence[DeadLetter]) -> int:
        """Remove dead letters and what is noted of their events, each in one step; return how many there were.

        The entries stay in the stream, with their payloads. What is noted of an entry that will be delivered anyway
        (see ``redrive``) stays too. Works without the group; may be called again.
        """
        ...

    async def count(self, after: EventKey, until: EventKey) -> int:
        """Return how many events the stream has after ``after``, up to ``until``; not what was redriven for others."""
        ...

    async def move(self, position: EventKey) -> GroupMove:
        """Let the group read on after ``position``, back or forward; raise GroupMissing.

        What is pending after ``position`` is given up, with its due time and all that is noted of it, since the group
        reads it again; what is pending up to ``position`` stays. The group moves back in steps, each of which leaves no
        entry that is both pending and still to be read, or neither. A member that had any of them in flight finds its
        row ended at its next look, and loses them in the comparison that follows. May be called again.
        """
        ...

    async def delete(self, *, dead_letters: bool, dry_run: bool = False) -> GroupDeletion:
        """Remove the group and all that is kept of it, in one step, unless a consumer of it is alive.

        It also stays if it has dead letters, unless they are to be removed too. May be called again.
        """
        ...
