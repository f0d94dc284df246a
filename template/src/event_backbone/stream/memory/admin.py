"""What people do with a group in memory from outside: see what is pending or dead-lettered, redrive or discard it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from event_backbone.model import EventKey
from event_backbone.stream.memory.log import Log, Membership, Note, Pending
from event_backbone.stream.memory.look import LONGEST_HOLD
from event_backbone.stream.values import DeadLetter, GroupDeletion, GroupMove, PendingEntry, Redrive
from event_backbone.wire.keys import WAITING_CONSUMER


class MemoryGroupAdmin:
    """Implements ``stream.base.GroupAdmin``."""

    def __init__(self, log: Log, group: str) -> None:
        """Administer this group."""
        self._log = log
        self._group = group

    async def pending(self, after: EventKey | None, count: int) -> Sequence[PendingEntry]:
        """Return up to ``count`` pending entries after ``after``, oldest first."""
        group, now = self._log.group(self._group), self._log.now()
        keys = sorted(key for key in group.pending if after is None or key > after)
        return [self._pending_entry(key, group.pending[key], now) for key in keys[: max(count, 0)]]

    async def dead_letters(self, after: str | None, count: int) -> Sequence[DeadLetter]:
        """Return up to ``count`` dead letters after the one with id ``after``, oldest first."""
        letters = self._log.dead.get(self._group, {}).values()
        last = None if after is None else EventKey.parse(after)
        return [letter for letter in letters if last is None or EventKey.parse(letter.id) > last][: max(count, 0)]

    async def newest_dead_letter(self) -> str | None:
        """Return the id of the newest dead letter; None without any."""
        return max(self._log.dead.get(self._group, {}), key=EventKey.parse, default=None)

    async def redrive(self, dead_letters: Sequence[DeadLetter]) -> Sequence[Redrive]:
        """Deliver events to this group again, as if for the first time, and remove their dead letters."""
        return [self._redrive(letter) for letter in dead_letters]

    async def redriven(self, key: EventKey) -> Mapping[EventKey, int]:
        """Return nothing: there is no archive to redrive from."""
        del key
        return {}

    async def discard(self, dead_letters: Sequence[DeadLetter]) -> int:
        """Remove dead letters and what is noted of their events; return how many there were."""
        letters = self._log.dead.get(self._group, {})
        removed = [letter for letter in dead_letters if letters.pop(letter.id, None) is not None]
        for letter in removed:
            if not self._comes_anyway(letter.entry.key):
                membership = self._log.membership(self._group)
                membership.notes.pop(letter.entry.key, None)
                membership.follow_ups.pop(letter.entry.key, None)
        return len(removed)

    async def count(self, after: EventKey, until: EventKey) -> int:
        """Return how many events the stream has after ``after``, up to ``until``."""
        return sum(after < key <= until for key in self._log.keys)

    async def move(self, position: EventKey) -> GroupMove:
        """Let the group read on after ``position``, and give up what is pending after it."""
        group, kept, now = self._log.group(self._group), self._log.membership(self._group), self._log.now()
        given_up = [key for key in group.pending if key > position]
        if any(group.pending[key].consumer != WAITING_CONSUMER for key in given_up):
            kept.hold = now + min(LONGEST_HOLD, kept.longest_lease // 2)
            kept.rows = {name: min(end, now) for name, end in kept.rows.items()}
        for key in given_up:
            kept.due.pop(key, None)
            self._log.finish(self._group, key)
        left, group.last = group.last, position
        after, until = kept.skipped or (left, left)
        if position > left:
            kept.skipped = (after if until == left else left, position)
        elif kept.skipped is not None:
            kept.skipped = (after, min(until, position)) if position > after else None
        self._log.notify()
        vanished = sum(key not in self._log.entries for key in given_up)
        return GroupMove(left, len(given_up) - vanished, vanished)

    async def delete(self, *, dead_letters: bool, dry_run: bool = False) -> GroupDeletion:
        """Remove the group and all that is kept of it, unless a consumer of it is alive."""
        log, now = self._log, self._log.now()
        group, letters = log.groups.get(self._group), log.dead.get(self._group, {})
        kept = log.memberships.get(self._group, Membership())
        found = GroupDeletion(
            exists=group is not None or self._group in log.memberships or bool(letters),
            consumers=0 if group is None else sum(end > now for end in kept.rows.values()),
            pending=0 if group is None else len(group.pending),
            parked=len(kept.due),
            dead_letters=len(letters),
        )
        if not dry_run and not found.consumers and (dead_letters or not letters):
            log.groups.pop(self._group, None)
            log.memberships.pop(self._group, None)
            log.dead.pop(self._group, None)
            log.notify()
        return found

    def _redrive(self, letter: DeadLetter) -> Redrive:
        letters, key = self._log.dead.get(self._group, {}), letter.entry.key
        if letter.id not in letters:
            return "gone"
        if key not in self._log.entries:
            return "not-found"
        self._log.group(self._group)
        if not self._comes_anyway(key):
            self._log.membership(self._group).notes[key] = Note(redrives=letters[letter.id].redrives + 1)
            self._log.park(self._group, key, 0)
        del letters[letter.id]
        return "redriven"

    def _comes_anyway(self, key: EventKey) -> bool:
        """Whether the group will be given the entry anyway: it is pending, or not read yet by a group made again."""
        group = self._log.groups.get(self._group)
        return group is not None and (key in group.pending or (key > group.last and key in self._log.entries))

    def _pending_entry(self, key: EventKey, pending: Pending, now: int) -> PendingEntry:
        idle = timedelta(milliseconds=max(0, now - pending.since))
        kept = self._log.membership(self._group)
        note = kept.note(key, pending.attempt)
        failed = (note.failures, note.error, note.place, note.redrives)
        if pending.consumer != WAITING_CONSUMER:
            return PendingEntry(key, pending.consumer, idle, pending.attempt, None, *failed)
        due = datetime.fromtimestamp(kept.due.get(key, now) / 1000, UTC)
        return PendingEntry(key, None, idle, pending.attempt, due, *failed)
