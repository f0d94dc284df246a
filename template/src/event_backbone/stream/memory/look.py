"""A member's look at its group in memory: it renews its row and takes entries over."""

from datetime import timedelta

from event_backbone.model import EventKey
from event_backbone.stream.memory.log import Log, Pending
from event_backbone.stream.values import Delivery, Look
from event_backbone.wire.keys import WAITING_CONSUMER

_MOST_AT_A_LOOK = 100
_LONGEST_GAP = 5_000
LONGEST_HOLD = 10_000
_LOOKED_IS_KEPT = 500


class MemoryLook:
    """One look, without awaiting anything. Times and leases are whole milliseconds, as in Redis."""

    def __init__(self, log: Log, group: str, member: str, lease: timedelta, limit: int) -> None:
        """Prepare the look of this member; raise GroupMissing."""
        self._log = log
        self._group_name = group
        self._group = log.group(group)
        self._kept = log.membership(group)
        self._member = member
        self._lease = lease // timedelta(milliseconds=1)
        self._limit = min(max(limit, 0), _MOST_AT_A_LOOK)
        self._now = log.now()
        self._deliveries: list[Delivery] = []
        self._vanished: list[EventKey] = []
        self._erased: list[EventKey] = []

    def make(self) -> Look:
        """Renew the row, take what is due and what ended rows left behind."""
        self._hold_after_a_gap()
        row_ended = self._renew()
        self._sweep()
        more_due = self._take_due()
        more_left = self._take_from_ended_rows()
        return Look(
            tuple(self._deliveries),
            tuple(self._vanished),
            tuple(self._erased),
            more=more_due or more_left,
            row_ended=row_ended,
            parked=len(self._kept.due),
        )

    def _hold_after_a_gap(self) -> None:
        kept, now, looked = self._kept, self._now, self._kept.looked
        kept.longest_lease = max(kept.longest_lease, self._lease)
        went_back = looked is not None and now < looked
        if looked is None or went_back or now - looked > min(_LONGEST_GAP, self._lease // 2):
            kept.hold = now + min(LONGEST_HOLD, kept.longest_lease // 2)
        if looked is not None and went_back:
            kept.rows.clear()
            kept.due = {key: due - (looked - now) for key, due in kept.due.items()}
            kept.swept = 0
        if looked is None or went_back or now - looked >= min(_LOOKED_IS_KEPT, self._lease // 8):
            kept.looked = now

    def _renew(self) -> bool:
        """Write the row when a quarter of it has passed; return whether it had ended."""
        end, now, lease = self._kept.rows.get(self._member), self._now, self._lease
        if end is None or not now + lease * 3 / 4 <= end <= now + lease:
            self._kept.rows[self._member] = now + lease
        return end is None or end <= now

    def _sweep(self) -> None:
        """Repair what does not match: names without a row, entries without a due time, times without an entry."""
        kept, group, now = self._kept, self._group, self._now
        if now - kept.swept < self._lease // 4:
            return
        kept.swept = now
        for name in group.consumers - {WAITING_CONSUMER}:
            kept.rows.setdefault(name, now + self._lease)
        parked = group.keys_of(WAITING_CONSUMER)
        if len(parked) > len(kept.due):
            for key in parked:
                kept.due.setdefault(key, now)
        elif len(parked) < len(kept.due):
            kept.due = {key: kept.due[key] for key in parked if key in kept.due}

    def _take_due(self) -> bool:
        """Take from the waiting consumer; return whether more is due."""
        due = self._kept.due
        keys = sorted((key for key, at in due.items() if at <= self._now), key=lambda key: (due[key], key))
        limit = _half(self._limit)
        for key in keys[:limit]:
            del due[key]
            pending = self._group.pending.get(key)
            if pending is not None and pending.consumer == WAITING_CONSUMER:
                self._take(key, pending)
        return len(keys) > limit

    def _take_from_ended_rows(self) -> bool:
        """Take from members whose row has ended, the oldest end first; return whether they have more."""
        rows, now = self._kept.rows, self._now
        if now < self._kept.hold:
            return False
        left, more = _half(self._limit - self._taken), False
        for name in sorted((name for name, end in rows.items() if end <= now), key=lambda name: (rows[name], name)):
            keys = self._group.keys_of(name)
            for key in keys[:left]:
                self._take(key, self._group.pending[key])
            if len(keys) > left:
                more = True
            else:
                self._group.consumers.discard(name)
                del rows[name]
            left = max(0, left - len(keys))
        return more

    @property
    def _taken(self) -> int:
        return len(self._deliveries) + len(self._vanished) + len(self._erased)

    def _take(self, key: EventKey, pending: Pending) -> None:
        entry = self._log.entries.get(key)
        if entry is None:
            self._log.finish(self._group_name, key)
            (self._erased if key in self._log.tombstones else self._vanished).append(key)
            return
        pending.consumer, pending.attempt, pending.since = self._member, pending.attempt + 1, self._now
        self._group.consumers.add(self._member)
        self._deliveries.append(self._kept.delivery(entry, pending.attempt))


def _half(limit: int) -> int:
    """Return half of the limit, rounded up."""
    return (limit + 1) // 2
