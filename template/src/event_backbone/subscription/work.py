"""One event that a subscription holds, from its delivery to its end."""

from __future__ import annotations

import asyncio
from typing import Literal

from event_backbone.delivery import Arrived
from event_backbone.errors import EntryUnreadable
from event_backbone.stream.values import Delivery, Lease

Stage = Literal["unstarted", "running", "waiting", "settling"]
"""Not begun; in its handlers; waiting for its next attempt; with a call under way that ends or changes its lease."""

_SUSPICIOUS_DELIVERIES = 3


class Work:
    """An event in the hands of this subscription, and the lease that allows it to act on the event.

    ``arrived`` is what was read and loaded of it, or why it cannot be read. ``tries`` counts repetitions that are no
    attempts of the event's own. ``held`` says that the subscription still holds it. ``lost`` means that the lease has
    gone to another consumer: nothing may be done with the event any more.
    """

    __slots__ = (
        "arrived",
        "attempt",
        "failures",
        "fields",
        "held",
        "key",
        "lost",
        "ran_alone",
        "runner",
        "stage",
        "tries",
    )

    def __init__(self, delivery: Delivery) -> None:
        """Take up a delivery."""
        # What is made for every event is kept few: a thousand objects more in flight cost the garbage collector 3 µs
        # an event.
        (self.key, self.fields), self.attempt, self.failures, self.ran_alone = delivery
        self.arrived: Arrived | EntryUnreadable | None = None
        self.runner: asyncio.Task[None] | None = None
        self.stage: Stage = "unstarted"
        self.tries = 0
        self.held = False
        self.lost = False

    def begin(self, delivery: Delivery) -> None:
        """Take up the next attempt."""
        (self.key, self.fields), self.attempt, self.failures, self.ran_alone = delivery

    @property
    def lease(self) -> Lease:
        """The lease of this attempt."""
        return Lease(self.key, self.attempt)

    @property
    def suspicious(self) -> bool:
        """Whether at least two earlier deliveries ended without a word, as those of a crash do."""
        return self.attempt - self.failures >= _SUSPICIOUS_DELIVERIES
