"""Removes events from one stream, slice by slice, and counts what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from event_backbone import telemetry
from event_backbone.model import EventKey, PayloadReference
from event_backbone.retention.known_letters import KnownLetters
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.gather import gather_all
from event_backbone.stream.redis.retention_values import Hold, LettersChanged, Slice, Survey, Trimmed

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining

_MOST_EVENTS = 100  # about a millisecond in which the server serves nobody else
_MOST_BYTES = 256 * 1024  # of a slice's entries, inline payloads included
_MOST_SOURCES = 1000
_FIRST = EventKey(0)
_RESTS = ((10_000, 3), (100_000, 1))


@dataclass(slots=True)
class Removed:
    """What became of the events of a stream.

    Attributes:
        events: how many were removed, or would be.
        payload_bytes: what their payloads beside the stream took, if that was measured.
        last: the last one that was looked at; None without one.
        holds: why others stay; counted only as far as they were looked at.
        cuts: how many events each group has lost unfinished, by group and whether it is forgotten.
    """

    events: int = 0
    payload_bytes: int = 0
    last: EventKey | None = None
    holds: dict[tuple[str, str], Hold] = field(default_factory=dict[tuple[str, str], Hold])
    cuts: Counter[tuple[str, bool]] = field(default_factory=Counter[tuple[str, bool]])

    def bytes(self, entry_bytes: int) -> int:
        """How many bytes were freed, with this many for an entry."""
        return self.payload_bytes + self.events * entry_bytes

    def include(self, other: Removed) -> None:
        """Add what another pass has removed, and what it has left."""
        self.events += other.events
        self.payload_bytes += other.payload_bytes
        self.last, self.holds = other.last or self.last, other.holds
        self.cuts += other.cuts

    def add(self, trimmed: Trimmed) -> None:
        """Add the result of a slice."""
        self.events += trimmed.removed
        self.payload_bytes += trimmed.payload_bytes
        self.last = trimmed.last or self.last
        for each in trimmed.holds:
            known = self.holds.get((each.reason, each.group))
            total = each if known is None else known._replace(events=known.events + each.events)
            self.holds[each.reason, each.group] = total
        for group, forgotten, events in trimmed.cuts:
            self.cuts[group, forgotten] += events


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events to remove.

    Attributes:
        until: the last key that is due.
        forgotten: the groups that are forgotten, each with the sign by which it is so.
        entry_bytes: how many bytes an entry takes, without its payload.
        groups: how many groups the stream has, each of which is asked.
        after: the key after which to begin.
        bytes_over: how many bytes are to go, oldest first; 0 is all that are due.
        cutting: whether living groups and dead letters may lose theirs.
        dry: whether to count only.
        measured: whether to measure what payloads take.
    """

    until: EventKey
    forgotten: Mapping[str, bytes]
    entry_bytes: int
    groups: int
    after: EventKey = _FIRST
    bytes_over: int = 0
    cutting: bool = False
    dry: bool = False
    measured: bool = False


class Trimming:
    """Removes what may be removed from one stream."""

    def __init__(
        self,
        scope: StorageScope,
        retaining: RedisRetaining,
        storages: Mapping[str, Storage],
        *,
        archived: bool,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        """Work on this stream; ``hold`` keeps the lock, and raises Interrupted when it is lost."""
        self._scope = scope
        self._retaining = retaining
        self._storages = storages
        self._archived = archived
        self._hold = hold
        self.letters = KnownLetters(retaining)

    async def remove(self, wanted: Wanted) -> Removed:
        """Remove events, and return what became of them. What was removed before an error is not taken back.

        Raises:
            Interrupted, EventsLost: as ``RedisRetaining.trim`` does.
            StreamUnavailable, StorageUnavailable: Redis, or another one that has payloads, does not answer.
        """
        removed, more = Removed(), True
        while more:
            await self._hold()
            began = perf_counter()
            left = wanted.bytes_over - removed.bytes(wanted.entry_bytes)
            if wanted.bytes_over and left <= 0:
                break
            trimmed = await self._slice(self._next(wanted, removed.last or wanted.after, max(left, 0)))
            removed.add(trimmed)
            more = trimmed.more
            await asyncio.sleep(0 if wanted.bytes_over else _rest(removed.events) * (perf_counter() - began))
        return removed

    def _next(self, wanted: Wanted, after: EventKey, bytes_over: int) -> Slice:
        return Slice(
            after=after,
            until=wanted.until,
            count=max(1, min(_MOST_EVENTS // (1 + wanted.groups // 10), _MOST_BYTES // max(wanted.entry_bytes, 1))),
            bytes_over=bytes_over,
            entry_bytes=wanted.entry_bytes,
            cutting=wanted.cutting,
            archived=self._archived,
            dry=wanted.dry,
            measured=wanted.measured or bytes_over > 0,
            forgotten=wanted.forgotten,
            letters=self.letters.known,
            sources=self.letters.sources_after(after, _MOST_SOURCES),
            most_sources=_MOST_SOURCES,
        )

    async def _slice(self, wanted: Slice) -> Trimmed:
        trimmed, again = None, False
        while trimmed is None:
            try:
                trimmed = await self._retaining.trim(wanted)
            except LettersChanged:
                await self.letters.read((await self._retaining.survey(noting=False)).groups, again=again)
                again = True
                sources = self.letters.sources_after(wanted.after, _MOST_SOURCES)
                wanted = replace(wanted, letters=self.letters.known, sources=sources)
        if not wanted.dry:
            self._count(trimmed)
            await self._remove_elsewhere(trimmed.elsewhere)
        return trimmed

    def _count(self, trimmed: Trimmed) -> None:
        uri = self._scope.stream.uri
        if trimmed.removed:
            telemetry.removed.add(trimmed.removed, {"uri": uri})
        for each in trimmed.cuts:
            reason = "forgotten" if each.forgotten else "max-bytes"
            telemetry.cut.add(each.events, {"uri": uri, "group": each.group, "reason": reason})

    async def _remove_elsewhere(self, references: Sequence[PayloadReference]) -> None:
        by_storage: dict[str, list[PayloadReference]] = {}
        for each in references:
            by_storage.setdefault(each.storage, []).append(each)
        await gather_all(self._storages[name].remove(self._scope, some) for name, some in by_storage.items())


def _rest(removed: int) -> int:
    """Return for how long others have the server, by how long a slice takes: the less, the more there is to remove."""
    return next((rest for events, rest in _RESTS if removed < events), 0)


def entry_bytes(survey: Survey) -> int:
    """Return what an entry takes on average, its payload beside the stream not counted."""
    return survey.stream_bytes // survey.length if survey.length else 0
