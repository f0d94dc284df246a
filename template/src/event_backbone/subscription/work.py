"""One event that a subscription holds, from its delivery to its end."""

from __future__ import annotations

import asyncio
from typing import Literal

from event_backbone.errors import EntryUnreadable, StorageError
from event_backbone.metadata import EventKey, Metadata, Payload, PayloadReference
from event_backbone.stream.base import Delivery, Lease

Stage = Literal["unstarted", "running", "waiting", "settling"]
"""Not begun; in its handlers; waiting for its next attempt; with a call under way that ends or changes its lease."""

_SUSPICIOUS_DELIVERIES = 3


class Work:
    """An event in the hands of this subscription, and the lease that allows it to act on the event.

    ``tries`` counts repetitions that are no attempts of the event's own. ``lost`` means that the lease has gone to
    another consumer: nothing may be done with the event any more.
    """

    __slots__ = (
        "delivery",
        "key",
        "lease",
        "lost",
        "metadata",
        "payload",
        "references",
        "runner",
        "stage",
        "tries",
        "unreadable",
    )

    def __init__(self, delivery: Delivery) -> None:
        """Take up a delivery."""
        self.key: EventKey = delivery.entry.key
        self.metadata: Metadata | None = None
        self.references: tuple[PayloadReference, ...] = ()
        self.payload: Payload | StorageError | None = None
        self.unreadable: EntryUnreadable | None = None
        self.runner: asyncio.Task[None] | None = None
        self.stage: Stage = "unstarted"
        self.tries = 0
        self.lost = False
        self.begin(delivery)

    def begin(self, delivery: Delivery) -> None:
        """Take up the next attempt."""
        self.delivery = delivery
        self.lease = Lease(self.key, delivery.attempt)

    @property
    def suspicious(self) -> bool:
        """Whether at least two earlier deliveries ended without a word, as those of a crash do."""
        return self.delivery.attempt - self.delivery.failures >= _SUSPICIOUS_DELIVERIES
