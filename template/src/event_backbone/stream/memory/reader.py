"""One consumer of a group in memory: reading, claiming, recovering, leaving."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from event_backbone.metadata import EventKey
from event_backbone.stream.memory.log import LONGEST_WAIT, Group, Log, Pending
from event_backbone.stream.values import Claimed, Delivery, Start

_LARGEST_CLAIM = 100
_LOOKED_AT_PER_CLAIMED = 10
_LARGEST_SEQUENCE = 2**64 - 1


class MemoryGroupReader:
    """Implements ``stream.base.GroupReader``."""

    def __init__(self, log: Log, group: str, consumer: str) -> None:
        """Be this consumer of this group."""
        self._log = log
        self._group = group
        self._consumer = consumer
        self._cursor: EventKey | None = None
        self._reading = False
        self._woken = False

    async def ensure(self, start: Start) -> bool:
        """Make the group unless it exists; return whether it was made."""
        if self._group in self._log.groups:
            return False
        self._log.groups[self._group] = Group(self._before(start))
        return True

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no consumer of the group has had; ``wake`` ends the waiting."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait, LONGEST_WAIT).total_seconds()
        self._reading, self._woken = True, False
        try:
            while True:
                deliveries = self._take(self._present(), count)
                remaining = deadline - loop.time()
                if deliveries or self._woken or remaining <= 0:
                    return deliveries
                await self._log.wait(remaining)
        finally:
            self._reading = False

    async def wake(self) -> None:
        """End a waiting ``read`` at once."""
        if self._reading:
            self._woken = True
            self._log.tell()

    async def claim(self, count: int, idle: timedelta, held: Collection[EventKey]) -> Claimed:
        """Take over up to ``count`` (at most 100) entries that nobody has renewed for ``idle``."""
        group, limit = self._present(), min(count, _LARGEST_CLAIM)
        if limit < 1:
            return Claimed(())
        deliveries: list[Delivery] = []
        vanished: list[EventKey] = []
        keys = sorted(key for key in group.pending if self._cursor is None or key > self._cursor)
        for key in keys[: limit * _LOOKED_AT_PER_CLAIMED]:
            if len(deliveries) + len(vanished) == limit:
                break
            self._cursor = key
            pending, entry = group.pending[key], self._log.entries.get(key)
            if entry is None:
                del group.pending[key]
                vanished.append(key)
            elif self._log.monotonic() - pending.renewed_at >= idle.total_seconds():
                self._renew(pending)
                if key not in held:
                    pending.attempt += 1
                    deliveries.append(pending.delivery(entry))
        if not keys or self._cursor == keys[-1]:
            self._cursor = None  # the end: the next call begins anew
        return Claimed(tuple(deliveries), tuple(vanished))

    async def recover(self, held: Collection[EventKey]) -> Sequence[Delivery]:
        """Return what is pending under this consumer's name and not in ``held``, and renew it, attempts unchanged."""
        recovered: list[Delivery] = []
        for key, pending in sorted(self._present().pending.items(), key=lambda item: item[0]):
            entry = self._log.entries.get(key)
            if pending.consumer == self._consumer and key not in held and entry is not None:
                self._renew(pending)
                recovered.append(pending.delivery(entry))
        return recovered

    async def leave(self, crashed_after: timedelta) -> None:
        """Delete this consumer, and others idle for ``crashed_after``, each only if nothing is pending for it."""
        group = self._log.groups.get(self._group)
        if group is None:
            return
        busy = {pending.consumer for pending in group.pending.values()}
        long_ago = self._log.monotonic() - crashed_after.total_seconds()
        for name, heard_at in tuple(group.consumers.items()):
            if name not in busy and (name == self._consumer or heard_at <= long_ago):
                del group.consumers[name]

    def _present(self) -> Group:
        """Return the group, and note that this consumer was heard of."""
        group = self._log.group(self._group)
        group.consumers[self._consumer] = self._log.monotonic()
        return group

    def _take(self, group: Group, count: int) -> list[Delivery]:
        entries = self._log.from_key(group.last, max(count, 0), exclusive=True)
        if entries:
            group.last = entries[-1].key
        for entry in entries:
            group.pending[entry.key] = Pending(self._consumer, 1, self._log.monotonic())
        return [Delivery(entry, attempt=1) for entry in entries]

    def _renew(self, pending: Pending) -> None:
        pending.consumer, pending.renewed_at = self._consumer, self._log.monotonic()

    def _before(self, start: Start) -> EventKey:
        partition = self._log.name.partition
        if start == "beginning":
            return EventKey(0, 0, partition)
        if start == "now":
            return self._log.last
        milliseconds = int(start.timestamp() * 1000) if isinstance(start, datetime) else start.milliseconds
        sequence = 0 if isinstance(start, datetime) else start.sequence
        if sequence > 0:
            return EventKey(milliseconds, sequence - 1, partition)
        if milliseconds > 0:
            return EventKey(milliseconds - 1, _LARGEST_SEQUENCE, partition)
        return EventKey(0, 0, partition)
