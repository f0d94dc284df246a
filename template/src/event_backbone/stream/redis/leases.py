"""What the holder of leases does with them: every script first asks the server whether they still hold."""

from collections.abc import Sequence
from typing import cast

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.metadata import EventKey, StreamName
from event_backbone.stream.redis.lease_scripts import (
    ACK,
    BEGIN_ATTEMPT,
    DEAD_LETTER,
    MARK_ALONE,
    RECORD_FAILURE,
    RELEASE,
    RENEW,
)
from event_backbone.stream.redis.packing import packed
from event_backbone.stream.redis.replies import delivery_of, event_key, texts
from event_backbone.stream.values import Delivery, Lease, NewDeadLetter

_LEASES_AT_ONCE = 1000


class RedisGroupLeases:
    """Implements ``stream.base.GroupLeases``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str, consumer: str) -> None:
        """Act for this consumer of this group."""
        self._redis = redis
        self._name = name
        self._group = group
        self._consumer = consumer
        self._in_doubt: set[Lease] = set()

    async def renew(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Start the leases' time anew, without counting an attempt."""
        return await self._lost(RENEW, leases)

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries."""
        return await self._finish(ACK, leases)

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries that were not begun back to the group, claimable at once, attempt lowered by one."""
        return await self._lost(RELEASE, leases)

    async def record_failure(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt ended in a handled failure."""
        return await self._lost(RECORD_FAILURE, (lease,))

    async def begin_attempt(self, lease: Lease) -> Delivery | None:
        """Begin the next attempt of an entry that waited for it; None when the lease was lost."""
        try:
            row = await self._run(BEGIN_ATTEMPT, (lease,))
        except GroupMissing:
            return None
        return None if row is None else delivery_of(cast("list[object]", row), self._name.partition)

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its process."""
        return await self._lost(MARK_ALONE, (lease,))

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step."""
        return await self._finish(DEAD_LETTER, (lease,), letter.reason, letter.detail, letter.error)

    async def _finish(self, script: Script, leases: Sequence[Lease], *more: str) -> frozenset[EventKey]:
        """Run a script that ends leases: when its answer is lost, leases that are gone then were ended by it.

        Also when the caller asks again later: what was in doubt then is remembered until there is an answer.
        """
        if not self._in_doubt or self._in_doubt.isdisjoint(leases):
            try:
                return await self._lost(script, leases, *more, repeat=False)
            except StreamUnavailable:
                self._in_doubt.update(leases)
        lost = await self._lost(script, leases, *more, again=True)
        self._in_doubt.difference_update(leases)
        return lost

    async def _lost(
        self, script: Script, leases: Sequence[Lease], *more: str, again: bool = False, repeat: bool = True
    ) -> frozenset[EventKey]:
        lost: set[EventKey] = set()
        for first in range(0, len(leases), _LEASES_AT_ONCE):
            some = leases[first : first + _LEASES_AT_ONCE]
            try:
                reply = await self._run(script, some, *more, again=again, repeat=repeat)
            except GroupMissing:  # with the group all leases are gone
                lost.update(lease.key for lease in some)
            else:
                lost.update(event_key(entry_id, self._name.partition) for entry_id in texts(reply))
        return frozenset(lost)

    async def _run(
        self, script: Script, leases: Sequence[Lease], *more: str, again: bool = False, repeat: bool = True
    ) -> object:
        # Plain tuples are compared at a tenth of the cost of keys.
        ordered = sorted([(lease.key.milliseconds, lease.key.sequence, lease.attempt) for lease in leases])
        ids = [f"{milliseconds}-{sequence}" for milliseconds, sequence, _ in ordered]
        attempts = [attempt for _, _, attempt in ordered]
        message = packed([self._group, self._consumer, ids, attempts, again, *more])
        with self._redis.errors():
            return await self._redis.run(script, (self._name.key,), (message,), repeat=repeat)
