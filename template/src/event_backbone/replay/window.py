"""The events of a replay that were read and are not done with, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EntryUnreadable
from event_backbone.model import EventKey
from event_backbone.subscription.routes import Route


@dataclass(slots=True, eq=False)
class ReplayedEvent:
    """An event in a replay: what was read of it, or why it cannot be; None once it is done with.

    One that failed in a batch is due for its next attempt at ``due``, in the event loop's time, but not before those
    ahead of it are done with; ``follower`` is the one that comes after it.
    """

    key: EventKey
    read: StoredEvent | EntryUnreadable | None
    route: Route | None = None
    size_bytes: int = 0
    attempt: int = 0
    due: float = 0
    follower: ReplayedEvent | None = None

    @property
    def active(self) -> bool:
        """Whether it is not done with."""
        return self.read is not None

    @property
    def attempts(self) -> int:
        """Which attempt this is, as the retry policy counts them."""
        return self.attempt

    @property
    def name(self) -> str:
        """Its name on the wire; empty if it is not known."""
        return self.read.metadata.event if isinstance(self.read, StoredEvent) else ""


class Window:
    """Knows up to where all events are done with, and how many bytes of payloads wait or are being handled."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._events: deque[ReplayedEvent] = deque()
        self._read_up_to = EventKey(0)
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def add(self, events: Sequence[ReplayedEvent], read_up_to: EventKey) -> None:
        """Add what was read next. Events before ``read_up_to`` that are not among them are not wanted."""
        self._events.extend(events)
        self._read_up_to = max(self._read_up_to, read_up_to)
        self.bytes += sum(each.size_bytes for each in events)

    def done(self, event: ReplayedEvent) -> None:
        """Be done with an event, and with its payload."""
        event.read = None
        self.bytes -= event.size_bytes
        events = self._events
        while events and events[0].read is None:
            events.popleft()

    def has(self, key: EventKey) -> bool:
        """Return whether this event was read and is not done with."""
        return any(each.key == key and each.read is not None for each in self._events)

    @property
    def next(self) -> EventKey:
        """The first key that is not done with."""
        return self._events[0].key if self._events else self._read_up_to
