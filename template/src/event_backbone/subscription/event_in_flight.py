"""One event that a subscription has in flight, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from event_backbone.errors import EntryUnreadable
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.stream.values import Delivery, Lease
from event_backbone.subscription.loaded_event import LoadedEvent

Stage = Literal["unstarted", "suspected", "running", "waiting", "settling"]
"""Not begun; to be run alone; in its handlers; to be tried again here; with a call under way that ends its lease."""

_UNEXPLAINED_ENDS = 2


class Cancellable(Protocol):
    """What handles an event."""

    def cancel(self) -> object:
        """Called when the lease of the event is lost."""
        ...


class InFlight:
    """One event between its delivery and its end, and the lease that allows this subscription to act on it.

    ``loaded`` is what was read and loaded of it, or why it cannot be read; ``loaded_bytes`` is what its payload counts
    for in memory. ``repeats`` counts repetitions within the same attempt. ``active`` says that it is still in flight
    here. ``abandoned`` says that this subscription has cancelled its handlers, so their outcome means nothing.
    """

    # One object an event: the garbage collector walks all of them (fast path, see decision 0010).
    __slots__ = (
        "abandoned",
        "active",
        "attempt",
        "ends_alone",
        "failures",
        "fields",
        "key",
        "loaded",
        "loaded_bytes",
        "repeats",
        "stage",
        "task",
    )

    def __init__(self, delivery: Delivery) -> None:
        """Take up a delivery."""
        self.fields: Mapping[bytes, bytes]
        (self.key, self.fields), self.attempt, self.failures, self.ends_alone = delivery
        self.loaded: LoadedEvent | EntryUnreadable | None = None
        self.loaded_bytes = 0
        self.task: Cancellable | None = None
        self.stage: Stage = "unstarted"
        self.repeats = 0
        self.active = False
        self.abandoned = False

    def forget_payload(self) -> int:
        """Let go of the payload, and return how many bytes of memory it counted for."""
        if isinstance(self.loaded, LoadedEvent):
            self.loaded.payload = None
        size_bytes, self.loaded_bytes = self.loaded_bytes, 0
        return size_bytes

    def abandon(self) -> None:
        """Give up the outcome of its handlers, as the subscription cancels them."""
        self.abandoned = True

    @property
    def settled(self) -> bool:
        """Whether it has left this subscription, or waits here to be tried again."""
        return not self.active or self.stage == "waiting"

    @property
    def lease(self) -> Lease:
        """The lease of this attempt."""
        return new_named_tuple(Lease, (self.key, self.attempt))

    @property
    def attempts(self) -> int:
        """Which attempt this is, as the retry policy counts them: crashes beside others are not the event's own."""
        return self.failures + self.ends_alone + 1

    @property
    def suspicious(self) -> bool:
        """Whether it may have ended its process: two deliveries ended unexplained, or one while it ran alone."""
        return self.ends_alone > 0 or self.attempt - 1 - self.failures >= _UNEXPLAINED_ENDS
