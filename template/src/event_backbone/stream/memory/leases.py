"""What the holder of leases does with them, in memory."""

from collections.abc import Callable, Sequence

from event_backbone.metadata import EventKey
from event_backbone.stream.memory.log import LONG_AGO_SECONDS, Log, Pending
from event_backbone.stream.values import RELEASED_CONSUMER, Delivery, Lease, NewDeadLetter


class MemoryGroupLeases:
    """Implements ``stream.base.GroupLeases``."""

    def __init__(self, log: Log, group: str, consumer: str) -> None:
        """Act for this consumer of this group."""
        self._log = log
        self._group = group
        self._consumer = consumer

    async def renew(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Start the leases' time anew, without counting an attempt."""
        return self._each(leases, self._renew)

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries."""
        return self._each(leases, self._finish)

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries that were not begun back to the group, claimable at once, attempt lowered by one."""
        return self._each(leases, self._release)

    async def record_failure(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt ended in a handled failure."""
        return self._each((lease,), self._fail)

    async def begin_attempt(self, lease: Lease) -> Delivery | None:
        """Begin the next attempt of an entry that waited for it; None when the lease was lost."""
        pending = self._held(lease) or self._held(Lease(lease.key, lease.attempt + 1))
        entry = self._log.entries.get(lease.key)
        if pending is None:
            return None
        if entry is None:
            self._finish(lease.key, pending)
            return None
        pending.attempt = lease.attempt + 1
        pending.renewed_at = self._log.monotonic()
        return pending.delivery(entry)

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its process."""
        return self._each((lease,), self._mark_alone)

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step."""

        def give_up(key: EventKey, pending: Pending) -> bool:
            self._log.bury(self._group, key, letter, pending.attempt)
            return self._finish(key, pending)

        return self._each((lease,), give_up)

    def _each(self, leases: Sequence[Lease], act: Callable[[EventKey, Pending], bool]) -> frozenset[EventKey]:
        """Act on every lease that holds; return the keys of the others, and of those where there was nothing to do."""
        lost: set[EventKey] = set()
        for lease in leases:
            pending = self._held(lease)
            if pending is None or not act(lease.key, pending):
                lost.add(lease.key)
        return frozenset(lost)

    def _held(self, lease: Lease) -> Pending | None:
        group = self._log.groups.get(self._group)
        pending = None if group is None else group.pending.get(lease.key)
        if pending is None or pending.consumer != self._consumer or pending.attempt != lease.attempt:
            return None
        return pending

    def _renew(self, key: EventKey, pending: Pending) -> bool:
        if key not in self._log.entries:
            self._finish(key, pending)
            return False
        pending.renewed_at = self._log.monotonic()
        return True

    def _finish(self, key: EventKey, _pending: Pending) -> bool:
        del self._log.group(self._group).pending[key]
        return True

    def _release(self, key: EventKey, pending: Pending) -> bool:
        group = self._log.group(self._group)
        if key not in self._log.entries:
            return self._finish(key, pending)
        pending.attempt -= 0 if pending.failed_attempt == pending.attempt else 1
        pending.consumer, pending.renewed_at = RELEASED_CONSUMER, self._log.monotonic() - LONG_AGO_SECONDS
        group.consumers[RELEASED_CONSUMER] = self._log.monotonic()
        return True

    @staticmethod
    def _fail(_key: EventKey, pending: Pending) -> bool:
        if pending.failed_attempt != pending.attempt:
            pending.failures += 1
            pending.failed_attempt = pending.attempt
        return True

    @staticmethod
    def _mark_alone(_key: EventKey, pending: Pending) -> bool:
        pending.ran_alone = True
        return True
