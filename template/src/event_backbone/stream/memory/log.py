"""What one stream in memory holds."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from event_backbone.errors import GroupMissing
from event_backbone.metadata import EventKey, StreamName
from event_backbone.stream.values import DeadLetter, Delivery, Entry, NewDeadLetter

LONG_AGO_SECONDS = 365 * 24 * 3600.0
LONGEST_WAIT = timedelta(seconds=1)


@dataclass(slots=True)
class Pending:
    """A delivered entry: whose it is, since when (monotonic seconds), and what is noted of its attempts."""

    consumer: str
    attempt: int
    renewed_at: float
    failures: int = 0
    failed_attempt: int = 0
    ran_alone: bool = False

    def delivery(self, entry: Entry) -> Delivery:
        """Return the entry as handed to the consumer."""
        return Delivery(entry, self.attempt, self.failures, self.ran_alone)


@dataclass(slots=True)
class Group:
    """A consumer group: the last entry delivered, what is pending, and when each consumer was last heard of."""

    last: EventKey
    pending: dict[EventKey, Pending] = field(default_factory=dict[EventKey, Pending])
    consumers: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(slots=True)
class Log:
    """One stream: its entries in order, its groups, and what Redis keeps under keys of their own."""

    name: StreamName
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    last: EventKey
    keys: list[EventKey] = field(default_factory=list[EventKey])
    entries: dict[EventKey, Entry] = field(default_factory=dict[EventKey, Entry])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    dead: dict[str, dict[str, DeadLetter]] = field(default_factory=dict[str, dict[str, DeadLetter]])
    buried: int = 0
    seen: dict[UUID, EventKey] = field(default_factory=dict[UUID, EventKey])
    tokens: dict[str, tuple[UUID, str, float]] = field(default_factory=dict[str, tuple[UUID, str, float]])
    hashes: dict[str, Mapping[str, bytes]] = field(default_factory=dict[str, Mapping[str, bytes]])
    waiting: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])

    def group(self, name: str) -> Group:
        """Return a group; raise GroupMissing."""
        try:
            return self.groups[name]
        except KeyError:
            raise GroupMissing(f"Stream {self.name.key} has no consumer group {name!r}.") from None

    def add(self, fields: Mapping[bytes, bytes]) -> EventKey:
        """Append an entry and tell who waits."""
        milliseconds = max(int(self.wall() * 1000), self.last.milliseconds)
        sequence = self.last.sequence + 1 if milliseconds == self.last.milliseconds else 0
        key = self.last = EventKey(milliseconds, sequence, self.name.partition)
        self.keys.append(key)
        self.entries[key] = Entry(key, dict(fields))
        self.tell()
        return key

    def from_key(self, start: EventKey | None, count: int, *, exclusive: bool = False) -> Sequence[Entry]:
        """Return up to ``count`` entries from ``start`` on, or after it."""
        first = 0 if start is None else bisect_left(self.keys, start)
        if exclusive and first < len(self.keys) and self.keys[first] == start:
            first += 1
        return [self.entries[key] for key in self.keys[first : first + count]]

    def remove(self, key: EventKey) -> None:
        """Remove an entry; where it is pending, it stays so."""
        if self.entries.pop(key, None) is not None:
            self.keys.remove(key)

    def bury(self, group: str, key: EventKey, letter: NewDeadLetter, attempts: int) -> None:
        """Add a dead letter with a copy of the entry."""
        letters = self.dead.setdefault(group, {})
        self.buried += 1
        now = self.wall()
        letter_id = f"{int(now * 1000)}-{self.buried}"
        letters[letter_id] = DeadLetter(
            id=letter_id,
            entry=self.entries.get(key, Entry(key, {})),
            reason=letter.reason,
            detail=letter.detail,
            error=letter.error,
            attempts=attempts,
            failed_at=datetime.fromtimestamp(now, UTC),
        )

    def tell(self) -> None:
        """Let everybody who waits look again."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Wait for ``tell``, no longer than ``seconds``."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=seconds)
        finally:
            self.waiting.discard(future)
