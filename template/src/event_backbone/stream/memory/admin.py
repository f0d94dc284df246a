"""What people do with a group in memory from outside: see what is pending or dead-lettered, and redrive it."""

from collections.abc import Sequence
from datetime import timedelta

from event_backbone.errors import EventNotFound
from event_backbone.model import EventKey
from event_backbone.stream.memory.log import Log, Pending
from event_backbone.stream.values import DeadLetter, PendingEntry


class MemoryGroupAdmin:
    """Implements ``stream.base.GroupAdmin``."""

    def __init__(self, log: Log, group: str) -> None:
        """Administer this group."""
        self._log = log
        self._group = group

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first; parked ones are idle since then."""
        group, now = self._log.group(self._group), self._log.now()
        keys = sorted(key for key in group.pending if after is None or key > after)
        return [self._pending_entry(key, group.pending[key], now) for key in keys[: max(count, 0)]]

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        letters = self._log.dead.get(self._group, {}).values()
        last = None if after is None else EventKey.parse(after)
        return [letter for letter in letters if last is None or EventKey.parse(letter.id) > last][: max(count, 0)]

    async def redrive(self, dead_letter: DeadLetter) -> bool:
        """Deliver the event to this group again, as if for the first time, and remove the dead letter, in one step."""
        letters, key = self._log.dead.get(self._group, {}), dead_letter.entry.key
        if dead_letter.id not in letters:
            return False
        if key not in self._log.entries:
            raise EventNotFound(f"Event {key} is no longer in stream {self._log.name.key}.")
        group = self._log.group(self._group)
        if key <= group.last and key not in group.pending:
            self._log.membership(self._group).notes.pop(key, None)
            self._log.park(self._group, key, 0)
        del letters[dead_letter.id]
        return True

    @staticmethod
    def _pending_entry(key: EventKey, pending: Pending, now: int) -> PendingEntry:
        idle = timedelta(milliseconds=max(0, now - pending.since))
        return PendingEntry(key, pending.consumer, idle, pending.attempt)
