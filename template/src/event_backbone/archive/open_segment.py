"""The segment that is being filled."""

from __future__ import annotations

from time import monotonic

from event_backbone.model import EventKey

_DAY = 86_400_000  # milliseconds


class OpenBytes:
    """How many bytes all open segments of an archive have together, in one process."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        """Start with none."""
        self.now = 0


class OpenSegment:
    """Lines that are not committed yet, in order of their keys, which are of one day (UTC).

    Nothing but their bytes is kept of them, so that the garbage collector has nothing to visit: there may be a hundred
    thousand of them.
    """

    def __init__(self, together: OpenBytes) -> None:
        """Count the bytes in ``together`` too."""
        self.lines: list[bytes] = []
        self.first: EventKey | None = None
        self.last: EventKey | None = None
        self.bytes = 0
        self.opened_at = 0.0
        self._together = together

    def __bool__(self) -> bool:
        return bool(self.lines)

    def takes(self, key: EventKey) -> bool:
        """Return whether the event with this key is of the same day."""
        return self.first is None or key.milliseconds // _DAY == self.first.milliseconds // _DAY

    def add(self, key: EventKey, line: bytes) -> None:
        """Add a line at the end."""
        if self.first is None:
            self.first, self.opened_at = key, monotonic()
        self.last = key
        self.lines.append(line)
        self._count(len(line))

    def clear(self) -> None:
        """Drop all lines."""
        self.lines, self.first, self.last = [], None, None
        self._count(-self.bytes)

    def _count(self, added: int) -> None:
        self.bytes += added
        self._together.now += added
