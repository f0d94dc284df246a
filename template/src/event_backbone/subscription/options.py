"""What can be set for a subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from event_backbone.errors import ConfigurationError
from event_backbone.policy import AckPolicy, RetryPolicy
from event_backbone.stream.values import Start

_SHORTEST_LEASE = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """How a subscription reads, retries and stops.

    Attributes:
        concurrency: how many events are handled at the same time. With 1 they are handled in the order of the stream.
        lease: how long an event stays with a consumer that gives no sign of life. It is renewed for as long as the
            process lives, so it need not cover the longest handler; after a crash it is how long others wait.
        retry: what happens after a failure.
        ack: when an event is acked. ``on-success``: after its handlers succeeded. ``manual``: when a handler calls
            ``ctx.ack()``; one that returns without is called again later, which uses up no attempt. ``always``: after
            the handlers ended, also when they failed; only a Reject still goes to the dead letters.
        max_events: stop after so many events were handled to an end; None means never.
        drain: how long running handlers may go on after a stop before they are cancelled.
        start: where the group begins if it does not exist yet. A group that vanished begins at the beginning.
        prefetch: how many events are held at most, running ones included; as many again may be waiting for their ack.
        max_waiting: how many failed events may wait for their next attempt before reading stops.
        crashed_after: after how long without a sign of life another consumer counts as crashed, and is removed from
            the group once nothing is pending for it.
        consumer: this consumer's name within the group; None makes one of host, process and chance.
    """

    concurrency: int = 10
    lease: timedelta = timedelta(seconds=60)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ack: AckPolicy = "on-success"
    max_events: int | None = None
    drain: timedelta = timedelta(seconds=25)
    start: Start = "beginning"
    prefetch: int = 200
    max_waiting: int = 1000
    crashed_after: timedelta = timedelta(minutes=10)
    consumer: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("concurrency", "prefetch", "max_waiting"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if self.max_events is not None and self.max_events < 1:
            raise ConfigurationError(f"max_events must be 1 or more, or None, not {self.max_events}.")
        if self.lease < _SHORTEST_LEASE:
            raise ConfigurationError("lease must be 100 ms or more; 60 s is usual.")
        if self.drain < timedelta():
            raise ConfigurationError("drain must not be negative.")
        if self.ack not in {"on-success", "manual", "always"}:
            raise ConfigurationError(f"ack must be on-success, manual or always, not {self.ack!r}.")
        if isinstance(self.start, datetime) and self.start.tzinfo is None:
            raise ConfigurationError("start must be an aware time, such as datetime.now(UTC).")
