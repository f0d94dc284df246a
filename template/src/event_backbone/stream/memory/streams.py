"""Opens streams and groups in memory."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from event_backbone.model import EventKey, StreamName
from event_backbone.stream.memory.admin import MemoryGroupAdmin
from event_backbone.stream.memory.group_reader import MemoryGroupReader
from event_backbone.stream.memory.leases import MemoryGroupLeases
from event_backbone.stream.memory.log import Log
from event_backbone.stream.memory.stream import MemoryStream


class MemoryStreams:
    """Streams that live as long as this object, in one event loop. Implements ``stream.base.Streams``.

    The clock can be replaced in tests: ``wall`` (seconds since 1970) dates entries, forgets event ids and tokens, and
    decides which lease has ended and what is due.
    """

    def __init__(
        self,
        *,
        deduplicate_for: timedelta = timedelta(minutes=10),
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start without streams."""
        self._deduplicate_for = deduplicate_for
        self._wall = wall
        self._logs: dict[StreamName, Log] = {}

    def stream(self, name: StreamName) -> MemoryStream:
        """Return the stream of this name."""
        return MemoryStream(self.log(name), self._deduplicate_for)

    def group_reader(self, name: StreamName, group: str, member: str) -> MemoryGroupReader:
        """Return one member's reader."""
        return MemoryGroupReader(self.log(name), group, member)

    def group_leases(self, name: StreamName, group: str, member: str) -> MemoryGroupLeases:
        """Return one member's leases."""
        return MemoryGroupLeases(self.log(name), group, member)

    def group_admin(self, name: StreamName, group: str) -> MemoryGroupAdmin:
        """Return a group's administration."""
        return MemoryGroupAdmin(self.log(name), group)

    async def check(self) -> None:
        """Do nothing: memory is always available."""

    async def close(self) -> None:
        """Do nothing: the entries stay."""

    def hashes(self, name: StreamName) -> Mapping[str, Mapping[str, bytes]]:
        """Return the hashes that were written with entries of this stream: purpose -> fields. They never expire."""
        return self.log(name).hashes

    def remove_entry(self, name: StreamName, key: EventKey) -> None:
        """Remove an entry as an administrator would; it stays pending where it is."""
        self.log(name).remove(key)

    def remove_stream(self, name: StreamName) -> None:
        """Remove all entries and groups as an administrator would; dead letters stay."""
        log = self.log(name)
        log.keys.clear()
        log.entries.clear()
        log.groups.clear()
        log.notify()

    def remove_group(self, name: StreamName, group: str) -> None:
        """Remove a group as an administrator would."""
        log = self.log(name)
        log.groups.pop(group, None)
        log.notify()

    def log(self, name: StreamName) -> Log:
        """Return the contents of the stream, for tests that look inside."""
        if name not in self._logs:
            self._logs[name] = Log(name, self._wall, EventKey(0, 0, name.partition))
        return self._logs[name]
