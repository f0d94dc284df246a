"""The events that a subscription has in flight, and its capacity for more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from time import monotonic

from event_backbone.model import EventKey
from event_backbone.stream.values import Delivery
from event_backbone.subscription.event_in_flight import InFlight, Stage
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.pace import Pace
from event_backbone.subscription.payload_memory import PayloadMemory
from event_backbone.subscription.sharing import EventLimit

_MOST_AT_A_LOOK = 100
_STANDS_BACK_SECONDS = 30.0
_TURN_SECONDS = 4.0


class EventsInFlight:
    """Every event between its delivery and its end, by key. Only what is in here may be acted on.

    ``finished`` counts the events handled to an end: acked, or moved to the dead letters. ``unparked`` has those that
    failed and that the group cannot park, as too many are parked already. ``memory`` bounds their payloads;
    ``has_inline`` says that some may have theirs in their entry.
    """

    def __init__(
        self,
        options: SubscriptionOptions,
        monitor: Monitor,
        on_limit: Callable[[], None],
        *,
        limit: EventLimit | None = None,
        largest_batch: int = 1,
    ) -> None:
        """Begin with nothing; ``on_limit`` is called when as many events as ``limit`` says have come to an end."""
        self._options = options
        self._monitor = monitor
        self._limit = limit or EventLimit(options.max_events)
        self._limit.join(self, on_limit)
        self._has_capacity = asyncio.Event()
        self._capacity_wanted = False
        self._enough_unstarted = 0
        self._largest_batch = largest_batch
        self._gathering = self._batched = 0
        self._count: dict[Stage, int] = {"unstarted": 0, "suspected": 0, "running": 0, "waiting": 0, "settling": 0}
        self.pace = Pace(options.concurrency * largest_batch)
        self.memory = PayloadMemory(options.prefetch_bytes, self._inline_bytes)
        self.has_inline = False
        self.events: dict[EventKey, InFlight] = {}
        self.unparked: set[InFlight] = set()
        self.finished = 0
        self.on_settled: Callable[[], None] | None = None
        self.handed_over_at = -math.inf

    def admit(self, deliveries: Sequence[Delivery], *, read: bool = False) -> list[InFlight]:
        """Take up deliveries, and return those that are new here.

        An event that comes with another attempt than the one in flight has been elsewhere meanwhile: what is in flight
        of it has lost its lease. So has one that was ``read``, whatever its attempt: only a group that was moved, or
        made again, reads an event that it had been given.
        """
        admitted: list[InFlight] = []
        for delivery in deliveries:
            event = InFlight(delivery)
            known = self.events.setdefault(event.key, event)
            if known is not event:
                if known.attempt == delivery.attempt and not read:
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

    def move_all(self, events: Sequence[InFlight], stage: Stage) -> None:
        """Note how far these have come, all of which are in flight."""
        count = self._count
        for event in events:
            count[event.stage] -= 1
            event.stage = stage
        count[stage] += len(events)
        if self._capacity_wanted:
            self._signal_capacity()

    def gather(self, events: int) -> None:
        """Note how many events wait for others to join their batch: until it is due, they are not taken ahead."""
        self._gathering = events
        if self._capacity_wanted:
            self._signal_capacity()

    def begin_batch(self, events: Sequence[InFlight]) -> None:
        """Note that these begin, together: they count as one."""
        self._batched += len(events) - 1
        self.move_all(events, "running")

    def end_batch(self, events: Sequence[InFlight]) -> None:
        """Note that what began as a batch has ended."""
        self._batched -= len(events) - 1

    def finish(self, *events: InFlight) -> None:
        """Let go of events that have come to their end."""
        finished = self._drop(events)
        if finished == 0:
            return
        self.finished += finished
        self._limit.check()

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

    def check_limit(self) -> None:
        """End this subscription if those that share its limit have reached it."""
        self._limit.check()

    @property
    def under_way(self) -> int:
        """How many have begun, and are neither finished nor waiting."""
        return self._count["running"] + self._count["settling"]

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
        self._enough_unstarted = ahead // 2 + self._gathering
        if count["unstarted"] > self._enough_unstarted or self.blocked or self.full:
            return 0
        most = self._options.concurrency + ahead
        busy = self._busy
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
        capacity = self._options.concurrency + 2 * self._ahead - self._busy
        return self._within_limit(0 if self.blocked else min(capacity, _MOST_AT_A_LOOK - self._count["suspected"]))

    @property
    def complete(self) -> bool:
        """Whether nothing more is taken, as ``max_events`` allows no more."""
        return self._limit.left(1, len(self.events)) == 0

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
        largest = self._largest_batch  # two more of them keep the reads large while batches are filled
        return max(largest, min(self._options.prefetch + 2 * (largest - 1), math.ceil(self.pace.per_second)))

    @property
    def _busy(self) -> int:
        return self._count["unstarted"] - self._gathering + max(0, self._count["running"] - self._batched)

    def _within_limit(self, capacity: int) -> int:
        return self._limit.left(capacity, len(self.events))

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
