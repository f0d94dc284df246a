"""Forms full batches of a replay's events for batch handlers: the history is there, so none waits for a time."""

from __future__ import annotations

from collections.abc import Sequence

from event_backbone.consumer import BatchOptions
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import PayloadForbidden
from event_backbone.replay.window import ReplayedEvent
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import Outcome

_LONGEST_WAIT = 20
"""For how many events that come after it the first of a batch waits at most, for each that the batch may have."""


class ReplayedBatch:
    """Events that one call of a batch handler takes; ``loaded``, ``contexts`` and ``outcomes`` belong to ``events``."""

    __slots__ = ("began_after", "contexts", "events", "loaded", "options", "outcomes")

    def __init__(self, options: BatchOptions, began_after: int) -> None:
        """Begin without events, after so many of the replay."""
        self.options = options
        self.began_after = began_after
        self.events: list[ReplayedEvent] = []
        self.loaded: list[LoadedEvent] = []
        self.contexts: list[HandledEvent] = []
        self.outcomes: list[Outcome | None] = []


Work = ReplayedEvent | ReplayedBatch
"""What is begun at once: one event, or a batch of them."""


class Batches:
    """Lets events of batch handlers wait for each other until their batch is full.

    With ``in_order``, an event that is handled ends the batch before it, so that events are handled in their order. A
    rare event does not wait for long, as a replay that is begun again begins with the first that was not done with.
    """

    def __init__(self, *, in_order: bool) -> None:
        """Begin with nothing."""
        self._in_order = in_order
        self._open: dict[BatchOptions, ReplayedBatch] = {}
        self._count = 0

    def add(self, events: Sequence[ReplayedEvent]) -> list[Work]:
        """Take events, in order; return what is to begin, in order."""
        ready: list[Work] = []
        for event in events:
            route = event.route
            options = None if route is None or _is_forbidden(event) else route.batch
            if self._in_order and self._open and route is not None and route.wanted and options not in self._open:
                ready += self.rest()
            if options is None:
                ready.append(event)
                continue
            batch = self._open.get(options) or self._open.setdefault(options, ReplayedBatch(options, self._count))
            batch.events.append(event)
            if len(batch.events) >= options.most:
                ready.append(self._open.pop(options))
        self._count += len(events)
        for batch in list(self._open.values()):
            if self._count - batch.began_after > _LONGEST_WAIT * batch.options.most:
                ready.append(self._open.pop(batch.options))
        return ready

    def rest(self) -> list[ReplayedBatch]:
        """Return the batches that are not full, and forget them."""
        rest = list(self._open.values())
        self._open.clear()
        return rest


def _is_forbidden(event: ReplayedEvent) -> bool:
    return isinstance(event.read, StoredEvent) and isinstance(event.read.content, PayloadForbidden)
