"""What the subscriptions of several URIs share: how many handlers may run at once, and how many events may be taken.

A lone subscription has both for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Counting(Protocol):
    """What counts the events of one subscription: ``finished`` are those that have come to an end."""

    finished: int

    @property
    def under_way(self) -> int:
        """How many have begun, and are neither finished nor waiting."""
        ...


class Starting(Protocol):
    """What begins handlers."""

    def start_ready(self) -> None:
        """Begin what is ready, soon."""
        ...


class Slots:
    """How many handlers may run at once; ``running`` counts those that do.

    Whoever finds no slot free waits for one. When one is free again, all that wait may try, the one that gave it back
    last: so nobody is served twice before another.
    """

    def __init__(self, most: int) -> None:
        """Let so many run."""
        self.most = most
        self.running = 0
        self._waiting: dict[Starting, None] = {}

    @property
    def full(self) -> bool:
        """Whether none is free."""
        return self.running >= self.most

    def wait(self, starting: Starting) -> None:
        """Have this one begin what is ready when a slot is free."""
        self._waiting[starting] = None

    def leave(self, starting: Starting) -> None:
        """Let this one wait no more: it tries now."""
        self._waiting.pop(starting, None)

    def free(self, starting: Starting) -> bool:
        """Take back a slot from this one, and let all others that wait try first; return whether there are any."""
        self.running -= 1
        self._waiting.pop(starting, None)
        for each in self._waiting:
            each.start_ready()
        return bool(self._waiting)


class EventLimit:
    """How many events may be handled by all that share it; None is no limit.

    One that is not shared lets no event more be taken from the stream. If it is shared, each may read as many as if it
    were alone, and no event more begins; what has not begun goes back in the end.
    """

    def __init__(self, most: int | None, *, shared: bool = False) -> None:
        """Allow so many."""
        self.most = most
        self.gates = shared and most is not None
        self._sharing: dict[Counting, Callable[[], None]] = {}
        self._starting: list[Starting] = []

    def join(self, counting: Counting, on_limit: Callable[[], None]) -> None:
        """Count the events of this one; ``on_limit`` is called when so many have come to an end."""
        self._sharing[counting] = on_limit

    def start(self, starting: Starting) -> None:
        """Have this one begin what is ready when ``settled`` is called."""
        self._starting.append(starting)

    def settled(self) -> None:
        """Let all begin what is ready: an event that had begun waits, or has left."""
        for each in self._starting:
            each.start_ready()

    def may_begin(self, events: int) -> int:
        """Return how many of these may begin, which is fewer only of a limit that is shared."""
        if not self.gates or self.most is None:
            return events
        return min(events, self.most - sum(each.finished + each.under_way for each in self._sharing))

    def left(self, capacity: int, taken: int) -> int:
        """Return how much of ``capacity`` may be taken by who has ``taken`` so many that are not finished."""
        if self.most is not None:
            capacity = min(capacity, self.most - sum(each.finished for each in self._sharing) - taken)
        return max(capacity, 0)

    def check(self) -> None:
        """Let all end if so many events have come to an end."""
        if self.most is not None and sum(each.finished for each in self._sharing) >= self.most:
            for on_limit in list(self._sharing.values()):
                on_limit()


class Shared:
    """Both, for one subscription or for those of several URIs."""

    def __init__(self, concurrency: int, max_events: int | None, *, uris: int = 1) -> None:
        """Let so many handlers run at once, and so many events be handled."""
        self.slots = Slots(concurrency)
        self.limit = EventLimit(max_events, shared=uris > 1)
