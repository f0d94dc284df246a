"""What a member does with its leases: every script first checks that they are still its own."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from event_backbone.connection import RedisConnection, Script
from event_backbone.errors import GroupMissing, StreamUnavailable
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, NewDeadLetter, StreamName
from event_backbone.stream.redis.replies import event_key, texts
from event_backbone.stream.redis.script_message import milliseconds, packed
from event_backbone.stream.redis.settlement_scripts import (
    ACK,
    DEAD_LETTER,
    MARK_ALONE,
    NOTE_FOLLOW_UP,
    PARK,
    RELEASE,
    RESERVE_FOLLOW_UP,
    UNMARK_ALONE,
)
from event_backbone.stream.values import Lease, Parking

_LEASES_AT_ONCE = 1000
_NO_LIMIT = -1


class RedisGroupLeases:
    """Implements ``stream.base.GroupLeases``."""

    def __init__(self, redis: RedisConnection, name: StreamName, group: str, member: str) -> None:
        """Act for this member of this group."""
        self._redis = redis
        self._name = name
        self._group = group
        self._member = member
        self._unanswered: set[Lease] = set()

    async def ack(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Finish the entries."""
        return await self._lost(ACK, leases)

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
        """Note a failure of this attempt and let the entry wait until it is due."""
        try:
            about = "\n".join((error, *place))
            most = _NO_LIMIT if limit is None else limit
            reply = await self._once(PARK, (lease,), milliseconds(after, least=0), most, failed, about)
        except GroupMissing:
            return "lost"
        return cast("Parking", cast("bytes", reply).decode())

    async def release(self, leases: Sequence[Lease]) -> frozenset[EventKey]:
        """Give entries back to the group, due now; the attempt is not counted."""
        return await self._lost(RELEASE, leases)

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Note that this attempt runs as the only one of its member."""
        return await self._lost(MARK_ALONE, (lease,))

    async def unmark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Take the mark back."""
        return await self._lost(UNMARK_ALONE, (lease,))

    async def dead_letter(self, lease: Lease, letter: NewDeadLetter) -> frozenset[EventKey]:
        """Move the entry to the group's dead letters and ack it, in one step."""
        place = "\n".join(letter.place)
        return await self._lost(DEAD_LETTER, (lease,), letter.reason, letter.detail, letter.error, place)

    async def reserve_follow_up(
        self, lease: Lease, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None
    ) -> KeptFollowUp | None:
        """Keep ``event_id`` for a follow-up event unless one is kept already; return what is kept."""
        replaced = "" if instead_of is None else str(instead_of)
        message = self._message((lease,), " ".join(follow_up), str(event_id), replaced, repeated=False)
        try:
            with self._redis.errors():
                reply = await self._redis.run_pipelined(RESERVE_FOLLOW_UP, (self._name.key,), (message,))
        except GroupMissing:
            return None
        if reply is None:
            return None
        kept, key = (text.decode() for text in texts(reply))
        return KeptFollowUp(UUID(kept), EventKey.parse(key) if key else None)

    async def note_follow_up(self, entry: EventKey, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key of a follow-up event, unless nothing or another event id is kept of it by now."""
        message = packed([self._group, entry.entry_id, " ".join(follow_up), str(event_id), str(key)])
        with self._redis.errors():
            await self._redis.run_pipelined(NOTE_FOLLOW_UP, (self._name.key,), (message,))

    async def _lost(self, script: Script, leases: Sequence[Lease], *more: str) -> frozenset[EventKey]:
        lost: set[EventKey] = set()
        for first in range(0, len(leases), _LEASES_AT_ONCE):
            some = leases[first : first + _LEASES_AT_ONCE]
            try:
                reply = await self._once(script, some, *more)
            except GroupMissing:  # with the group all leases are gone
                lost.update(lease.key for lease in some)
            else:
                lost.update(event_key(entry_id, self._name.partition) for entry_id in texts(reply))
        return frozenset(lost)

    async def _once(self, script: Script, leases: Sequence[Lease], *more: str | int) -> object:
        """Run a script that takes effect once: after a lost answer it runs again, marked as repeated.

        So do later calls for the same leases, until one is answered.
        """
        if not self._unanswered or self._unanswered.isdisjoint(leases):
            try:
                return await self._run(script, leases, *more, repeated=False)
            except StreamUnavailable:
                self._unanswered.update(leases)
        try:
            reply = await self._run(script, leases, *more, repeated=True)
        except GroupMissing:
            self._unanswered.difference_update(leases)
            raise
        self._unanswered.difference_update(leases)
        return reply

    async def _run(self, script: Script, leases: Sequence[Lease], *more: str | int, repeated: bool) -> object:
        message = self._message(leases, *more, repeated=repeated)
        with self._redis.errors():
            if script is ACK and not repeated:
                return await self._redis.run_pipelined(script, (self._name.key,), (message,), repeat=False)
            return await self._redis.run(script, (self._name.key,), (message,), repeat=repeated)

    def _message(self, leases: Sequence[Lease], *more: str | int, repeated: bool) -> bytes:
        # Plain tuples are cheaper to compare than keys: fast path, see decision 0010.
        ordered = sorted([(lease.key.milliseconds, lease.key.sequence, lease.attempt) for lease in leases])
        ids = [f"{key_milliseconds}-{sequence}" for key_milliseconds, sequence, _ in ordered]
        attempts = [attempt for _, _, attempt in ordered]
        return packed([self._group, self._member, ids, attempts, repeated, *more])
