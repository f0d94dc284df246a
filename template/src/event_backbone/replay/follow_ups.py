"""What a replay keeps of follow-up events: nothing outlives it, as it has no group."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from event_backbone.model import EventKey, FollowUp, KeptFollowUp
from event_backbone.stream.values import Lease


class ReplayFollowUps:
    """Keeps the follow-up events of an event in memory while that is being handled: all attempts make one of each."""

    def __init__(self, is_open: Callable[[EventKey], bool]) -> None:
        """Keep them while ``is_open`` says of the event that it is not done with; then ``end`` has to be called."""
        self._is_open = is_open
        self._kept: dict[EventKey, dict[FollowUp, KeptFollowUp]] = {}

    def end(self, key: EventKey) -> None:
        """Forget what is kept: the event is done with."""
        if self._kept:  # most handlers produce nothing once
            self._kept.pop(key, None)

    async def reserve_follow_up(
        self, lease: Lease, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None
    ) -> KeptFollowUp | None:
        """Keep ``event_id`` as ``FollowUps`` says; None once the event is done with."""
        if not self._is_open(lease.key):
            return None
        kept = self._kept.setdefault(lease.key, {})
        found = kept.get(follow_up)
        if found is None or (found.key is None and found.event_id == instead_of):
            kept[follow_up] = found = KeptFollowUp(event_id)
        return found

    async def note_follow_up(self, entry: EventKey, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key as ``FollowUps`` says."""
        kept = self._kept.get(entry, {})
        if follow_up in kept and kept[follow_up].event_id == event_id:
            kept[follow_up] = KeptFollowUp(event_id, key)
