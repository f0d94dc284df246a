"""Which events are due: those that are too old by every clock that is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from event_backbone.model import EventKey
from event_backbone.wire.fields import EPOCH

_MILLISECOND = timedelta(milliseconds=1)


def due_before(now: datetime, max_age: timedelta) -> EventKey:
    """Return the first key that is not too old, by the server's clock and by this machine's: one may be wrong."""
    since_epoch = min(now, datetime.now(UTC)) - EPOCH
    return EventKey(max(0, (since_epoch - max_age) // _MILLISECOND))
