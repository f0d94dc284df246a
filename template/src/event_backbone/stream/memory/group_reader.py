"""One member of a group in memory: reading, looking, leaving."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

from event_backbone.model import EventKey
from event_backbone.stream.memory.log import LONGEST_WAIT, Group, Log, Pending
from event_backbone.stream.memory.look import MemoryLook
from event_backbone.stream.values import Comparison, Delivery, Lease, Look, Missed, Start, key_before


class MemoryGroupReader:
    """Implements ``stream.base.GroupReader``."""

    def __init__(self, log: Log, group: str, member: str) -> None:
        """Read as this member of this group."""
        self._log = log
        self._group = group
        self._member = member
        self._reading = False
        self._woken = False

    async def ensure(self, start: Start) -> bool:
        """Create the group, with nothing kept of an earlier one, unless it exists; return whether it was created."""
        if self._group in self._log.groups:
            return False
        self._log.groups[self._group] = Group(
            self._log.last if start == "now" else key_before(start, self._log.name.partition)
        )
        kept = self._log.membership(self._group)
        kept.notes.clear()
        kept.due.clear()
        kept.follow_ups.clear()
        kept.skipped = None
        return True

    async def missed(self) -> Missed | None:
        """Return None: in memory there is no retention."""

    async def read(self, count: int, wait: timedelta) -> Sequence[Delivery]:
        """Return up to ``count`` entries that no member of the group has had; ``wake`` ends it early."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait, LONGEST_WAIT).total_seconds()
        self._reading, self._woken = True, False
        try:
            while True:
                deliveries = self._take(self._log.group(self._group), count)
                remaining = deadline - loop.time()
                if deliveries or self._woken or remaining <= 0:
                    return deliveries
                await self._log.wait(remaining)
        finally:
            self._reading = False

    async def wake(self) -> None:
        """End a blocking ``read`` at once."""
        if self._reading:
            self._woken = True
            self._log.notify()

    async def look(self, lease: timedelta, limit: int) -> Look:
        """Renew this member's row for ``lease`` from now, and take over up to ``limit`` (at most 100) entries."""
        return MemoryLook(self._log, self._group, self._member, lease, limit).make()

    async def compare(self, in_flight: Collection[Lease]) -> Comparison:
        """Compare what this member has in flight with what is pending under its name; counts nothing."""
        group, kept = self._log.group(self._group), self._log.membership(self._group)
        leases = {Lease(key, group.pending[key].attempt) for key in group.keys_of(self._member)}
        deliveries: list[Delivery] = []
        vanished: list[EventKey] = []
        erased: list[EventKey] = []
        for key, attempt in sorted(leases.difference(in_flight)):
            entry = self._log.entries.get(key)
            if entry is None:
                self._log.finish(self._group, key)
                (erased if key in self._log.tombstones else vanished).append(key)
            else:
                deliveries.append(kept.delivery(entry, attempt))
        lost = frozenset(lease.key for lease in in_flight if lease not in leases)
        return Comparison(lost, tuple(deliveries), tuple(vanished), tuple(erased))

    async def leave(self) -> None:
        """Remove this member if nothing is pending under its name; else end its row, so that others take it at once."""
        group = self._log.groups.get(self._group)
        if group is None:
            return
        rows = self._log.membership(self._group).rows
        if group.keys_of(self._member):
            rows[self._member] = self._log.now()
        else:
            group.consumers.discard(self._member)
            rows.pop(self._member, None)

    def _take(self, group: Group, count: int) -> list[Delivery]:
        group.consumers.add(self._member)
        entries = self._log.from_key(group.last, max(count, 0), exclusive=True)
        if entries:
            group.last = entries[-1].key
        for entry in entries:
            group.pending[entry.key] = Pending(self._member, 1, self._log.now())
        return [Delivery(entry, attempt=1) for entry in entries]
