"""The events that a subscription has in flight, and its capacity for more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Literal

from event_backbone.errors import EntryUnreadable
from event_backbone.model import EventKey
from event_backbone.model.fast_objects import new_named_tuple
from event_backbone.stream.values import Delivery, Lease
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.pace import Pace
from event_backbone.subscription.payload_memory import PayloadMemory

Stage = Literal["unstarted", "suspected", "running", "waiting", "settling"]
"""Not begun; to be run alone; in its handlers; to be tried again here; with a call under way that ends its lease."""

_UNEXPLAINED_ENDS = 2
_MOST_AT_A_LOOK = 100
_STANDS_BACK_SECONDS = 30.0
_TURN_SECONDS = 4.0


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
        self.task: asyncio.Task[object] | None = None
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


class EventsInFlight:
    """Every event between its delivery and its end, by key. Only what is in here may be acted on.

    ``finished`` counts the events handled to an end: acked, or moved to the dead letters. ``unparked`` has those that
    failed and that the group cannot park, as too many are parked already. ``memory`` bounds their payloads;
    ``has_inline`` says that some may have theirs in their entry.
    """

    def __init__(self, options: SubscriptionOptions, monitor: Monitor, on_limit: Callable[[], None]) -> None:
        """Begin with nothing; ``on_limit`` is called when ``max_events`` have come to an end."""
        self._options = options
        self._monitor = monitor
        self._on_limit = on_limit
        self._has_capacity = asyncio.Event()
        self._capacity_wanted = False
        self._enough_unstarted = 0
        self._count: dict[Stage, int] = {"unstarted": 0, "suspected": 0, "running": 0, "waiting": 0, "settling": 0}
        self.pace = Pace(options.concurrency)
        self.memory = PayloadMemory(options.prefetch_bytes, self._inline_bytes)
        self.has_inline = False
        self.events: dict[EventKey, InFlight] = {}
        self.unparked: set[InFlight] = set()
        self.finished = 0
        self.on_settled: Callable[[], None] | None = None
        self.handed_over_at = -math.inf

    def admit(self, deliveries: Sequence[Delivery]) -> list[InFlight]:
        """Take up deliveries, and return those that are new here.

        An event that comes with another attempt than the one in flight has been elsewhere meanwhile, or through a group
        made again: what is in flight of it has lost its lease.
        """
        admitted: list[InFlight] = []
        for delivery in deliveries:
            event = InFlight(delivery)
            known = self.events.setdefault(event.key, event)
            if known is not event:
                if known.attempt == delivery.attempt:
                    continue
                self.lose(known)
                self.events[event.key] = event
            event.active = True
            admitted.append(event)
        self._count["unstarted"] += len(admitted)
        return admitted

    def move(self, event: InFlight, stage: Stage) -> None:
        """Note how far an event has come."""
        count = self._count
        if event.active:
            count[event.stage] -= 1
            count[stage] += 1
        event.stage = stage
        if self._capacity_wanted and count["unstarted"] <= self._enough_unstarted:
            self._signal_capacity()

    def finish(self, *events: InFlight) -> None:
        """Let go of events that have come to their end."""
        finished = self._drop(events)
        if finished == 0:
            return
        self.finished += finished
        limit = self._options.max_events
        if limit is not None and self.finished >= limit:
            self._on_limit()

    def lose(self, event: InFlight) -> None:
        """Let go of an event whose lease is lost; its handlers are cancelled."""
        if not self._drop((event,)):
            return
        self._monitor.lease_lost(event.key)
        event.abandoned = True
        if event.task is not None:
            event.task.cancel()

    def let_go(self, event: InFlight) -> None:
        """Let go of an event that goes back to the group, or has left the stream."""
        self._drop((event,))

    def release_payload(self, event: InFlight) -> None:
        """Let go of an event's payload: it is loaded again when the event comes again, or not needed any more."""
        size_bytes = event.forget_payload()
        if size_bytes:
            self.memory.release(size_bytes)

    def count(self, stage: Stage) -> int:
        """Return how many events are at this stage."""
        return self._count[stage]

    @property
    def blocked(self) -> bool:
        """Whether so many events wait here to be tried again that nothing more is taken.

        Those that cannot be parked do not count: only what looks take frees capacity for them.
        """
        return self._count["waiting"] - len(self.unparked) >= self._options.max_waiting

    @property
    def full(self) -> bool:
        """Whether failed events wait here because the group has too many parked already: nothing more is read."""
        return bool(self.unparked)

    @property
    def capacity(self) -> int:
        """How many more events may be read now.

        Beyond ``concurrency``, about a second's work is taken ahead. More is read once half of that has begun, so that
        many events are read at once. What is being acked does not count, up to once more as many: otherwise nothing
        would be read while an ack is under way.
        """
        count, ahead = self._count, self._ahead
        self._enough_unstarted = ahead // 2
        if count["unstarted"] > self._enough_unstarted or self.blocked or self.full:
            return 0
        most = self._options.concurrency + ahead
        busy = count["unstarted"] + count["running"]
        return self._within_limit(most - max(busy, busy + count["settling"] - most))

    @property
    def look_capacity(self) -> int:
        """How many events a look may take: another second's work, also while what was read ahead fills the first.

        So a busy group begins what is due in time. Suspects, which are run one at a time, count for themselves. When
        parking is full, what is due must be taken, however many wait here: nothing else frees capacity.

        Where events were handed over lately, nothing is taken every other two seconds: a member whose looks always come
        right before those of another would otherwise take back whatever it leaves to it.
        """
        now = monotonic()
        if now - self.handed_over_at < _STANDS_BACK_SECONDS and now % _TURN_SECONDS < _TURN_SECONDS / 2:
            return 0
        count = self._count
        busy = count["unstarted"] + count["running"]
        capacity = self._options.concurrency + 2 * self._ahead - busy
        return self._within_limit(0 if self.blocked else min(capacity, _MOST_AT_A_LOOK - count["suspected"]))

    async def wait_for_capacity(self, seconds: float) -> None:
        """Wait until there may be capacity, for at most ``seconds``; ``wake`` ends it."""
        self._has_capacity.clear()
        self._capacity_wanted = True
        try:
            async with asyncio.timeout(seconds):
                await self._has_capacity.wait()
        except TimeoutError:
            pass

    def wake(self) -> None:
        """End ``wait_for_capacity``."""
        self._has_capacity.set()

    @property
    def _ahead(self) -> int:
        return min(self._options.prefetch, max(1, math.ceil(self.pace.per_second)))

    def _within_limit(self, capacity: int) -> int:
        if self._options.max_events is not None:
            capacity = min(capacity, self._options.max_events - self.finished - len(self.events))
        return max(capacity, 0)

    def _drop(self, events: Sequence[InFlight]) -> int:
        """Forget events, and return how many of them were in flight."""
        active = [event for event in events if event.active]
        released_bytes, count = 0, self._count
        for event in active:
            event.active = False
            del self.events[event.key]
            count[event.stage] -= 1
            if event.task is None:  # else the handler still has the payload
                released_bytes += event.forget_payload()
        if active:
            if self.unparked:
                self.unparked.difference_update(active)
            self.memory.release(released_bytes)
            if self._capacity_wanted:
                self._signal_capacity()
            if self.on_settled is not None:
                self.on_settled()
        return len(active)

    def _inline_bytes(self) -> int:
        """Return the size of the inline payloads in flight, which few subscriptions have beside others."""
        if not self.has_inline:
            return 0
        loaded = [event.loaded for event in self.events.values()]
        return sum([each.metadata.size_bytes for each in loaded if isinstance(each, LoadedEvent) and each.inline])

    def _signal_capacity(self) -> None:
        if self.capacity > 0:
            self._capacity_wanted = False
            self._has_capacity.set()
