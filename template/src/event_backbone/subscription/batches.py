"""Gathers events that are loaded into batches, for batch handlers.

A batch goes to the workers when it is full, or when its first event has waited long enough; until it begins, others may
still join. An event that failed before does not join: so that one bad event does not use up the attempts of others, it
is handled by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from event_backbone.consumer import BatchOptions
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import Outcome


class EventBatch:
    """Events that one call of a batch handler takes, from the first that waits for others to the end of the call.

    ``loaded``, ``contexts`` and ``outcomes`` belong to ``events``, place by place, once it has begun; an event that has
    no outcome was lost before the handler was called.
    """

    __slots__ = ("_open", "contexts", "due", "events", "loaded", "options", "outcomes", "task", "timer")

    def __init__(self, options: BatchOptions, open_batches: dict[BatchOptions, EventBatch]) -> None:
        """Begin without events; while it is in ``open_batches``, events may join."""
        self._open = open_batches
        self.options = options
        self.events: list[InFlight] = []
        self.loaded: list[LoadedEvent] = []
        self.contexts: list[HandledEvent] = []
        self.outcomes: list[Outcome | None] = []
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.due = False

    @property
    def active(self) -> bool:
        """Whether any of its events is still in flight."""
        return any(event.active for event in self.events)

    @property
    def settled(self) -> bool:
        """Whether all of its events are settled, as ``InFlight.settled`` says."""
        return all(event.settled for event in self.events)

    def close(self) -> None:
        """Let no more events join."""
        if self._open.get(self.options) is self:
            del self._open[self.options]
        if self.timer is not None:
            self.timer.cancel()

    def run_by(self, task: asyncio.Task[None]) -> None:
        """Be what is cancelled when the lease of one of its events is lost."""
        self.task = task
        for event in self.events:
            event.task = self

    def cancel(self) -> None:
        """Called when the lease of an event is lost: cancel the handler if it has no other event."""
        if self.task is not None and not self.active:
            self.task.cancel()

    def abandon(self) -> None:
        """Give up the outcome of all, as the subscription cancels the handler."""
        for event in self.events:
            event.abandoned = True


Work = InFlight | EventBatch
"""What a worker does: one event, or a batch of them."""


class Batches:
    """Lets events of batch handlers wait for each other, and passes on all others at once.

    With ``in_order``, an event that is handled ends the batch before it, so that events are handled in the order in
    which they come.
    """

    def __init__(self, in_flight: EventsInFlight, pass_on: Callable[[Sequence[Work]], None], *, in_order: bool) -> None:
        """Pass on to ``pass_on`` what is ready. Made within the event loop it runs in."""
        self._in_flight = in_flight
        self._pass_on = pass_on
        self._in_order = in_order
        self._loop = asyncio.get_running_loop()
        self._open: dict[BatchOptions, EventBatch] = {}

    def add(self, events: Sequence[InFlight]) -> None:
        """Take events that are loaded."""
        ready: list[Work] = []
        for event in events:
            loaded = event.loaded
            route = loaded.route if isinstance(loaded, LoadedEvent) else None
            options = None if route is None or event.failures or event.ends_alone else route.batch
            if self._in_order and route is not None and route.wanted:
                self._close([each for each in self._open.values() if each.options is not options], ready)
            if options is None:
                ready.append(event)
                continue
            batch = self._open.get(options) or self._begin(options)
            batch.events.append(event)
            if len(batch.events) >= options.most:
                self._close([batch], ready)
        if self._in_flight.complete:
            self._close(list(self._open.values()), ready)
        self._count()
        if ready:
            self._pass_on(ready)

    def close(self) -> None:
        """Let no batch become due any more."""
        for batch in list(self._open.values()):
            batch.close()

    def _begin(self, options: BatchOptions) -> EventBatch:
        batch = self._open[options] = EventBatch(options, self._open)
        batch.timer = self._loop.call_later(options.within.total_seconds(), self._due, batch)
        return batch

    def _due(self, batch: EventBatch) -> None:
        batch.due = True
        self._count()
        self._pass_on([batch])

    def _close(self, batches: Sequence[EventBatch], ready: list[Work]) -> None:
        """Let no more events join these; they are ready, if they were not due before."""
        for batch in batches:
            batch.close()
            if not batch.due:
                ready.append(batch)

    def _count(self) -> None:
        self._in_flight.gather(sum([len(each.events) for each in self._open.values() if not each.due]))
