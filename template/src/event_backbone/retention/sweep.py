"""Deletes payload hashes that no entry refers to: people trim streams, too, and leave them behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from event_backbone import telemetry
from event_backbone.errors import EntryUnreadable, RequirementUnknown
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import StorageScope
from event_backbone.storage.base import ListedHashes
from event_backbone.stream.base import Stream
from event_backbone.stream.values import Entry
from event_backbone.wire import read_event_id, read_references
from event_backbone.wire.fields import EPOCH, METADATA_FIELD

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining
    from event_backbone.stream.redis.retention_values import Survey

_DELETED_AT_ONCE = 100
_READ_AT_ONCE = 500
_MOST_KEPT = 20_000
_REST = 3
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_MILLISECOND = timedelta(milliseconds=1)

_log = logging.getLogger("event_backbone")


class Hashes(Protocol):
    """Payload hashes of one stream on one Redis."""

    async def scan(self, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and some keys; the cursor is ``b"0"`` at first and in the end."""
        ...

    async def delete(self, keys: Sequence[str], complete_from: EventKey) -> int | None:
        """Delete hashes, and return how many; None, and nothing, if the stream is or was restored meanwhile."""
        ...


class HashesBesideStream:
    """Hashes on the stream's own Redis: deleted in the step that looks for a restore."""

    def __init__(self, retaining: RedisRetaining) -> None:
        """Take those of all storages."""
        self._retaining = retaining

    async def scan(self, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and some keys."""
        next_cursor, keys = await self._retaining.payload_keys(cursor)
        return next_cursor, [key.decode(errors="replace") for key in keys]

    async def delete(self, keys: Sequence[str], complete_from: EventKey) -> int | None:
        """Delete hashes."""
        return await self._retaining.sweep(keys, complete_from)


class HashesElsewhere:
    """Hashes on another Redis, where a crash leaves those whose events were just removed. No restore writes them."""

    def __init__(self, retaining: RedisRetaining, scope: StorageScope, storage: ListedHashes) -> None:
        """Take those of one storage."""
        self._retaining = retaining
        self._scope = scope
        self._storage = storage

    async def scan(self, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and what some keys end with."""
        return await self._storage.names(self._scope, cursor)

    async def delete(self, keys: Sequence[str], complete_from: EventKey) -> int | None:
        """Delete hashes."""
        survey = await self._retaining.survey(noting=False)
        if survey.restoring or survey.complete_from != complete_from:
            return None
        await self._storage.remove(self._scope, [PayloadReference(self._storage.name, each, each) for each in keys])
        return len(keys)


class Sweep:
    """Goes through all keys of each Redis that has hashes, as only that finds what no entry refers to.

    A hash is deleted if the stream has no event of its time any more: it is older than the key from which the stream
    has no gaps, and than all events from there on, whose keys may be ahead of their times, as after a clock that was;
    and none of the single events that are kept from before that refers to it. What is being produced or restored is
    never deleted.
    """

    def __init__(
        self,
        stream: Stream,
        places: Sequence[Hashes],
        deduplicate_for: timedelta,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        """Sweep these places; ``hold`` keeps the lock, and raises Interrupted when it is lost."""
        self._stream = stream
        self._places = places
        self._spread = (deduplicate_for + _CLOCKS_DIFFER_BY) // _MILLISECOND
        self._hold = hold

    async def run(self, survey: Survey) -> int:
        """Return how many hashes were deleted. Raises StreamUnavailable, StorageUnavailable and Interrupted."""
        complete_from, before = survey.complete_from, self._surely_before(survey)
        kept = None if complete_from is None or before <= 0 else await self._kept(complete_from)
        if complete_from is None or kept is None:
            return 0
        orphans = _Orphans(before, kept, lambda: self._oldest(complete_from, survey.last))
        deleted = sum([await self._sweep(each, orphans, complete_from) for each in self._places])
        self._report(deleted)
        return deleted

    async def _sweep(self, place: Hashes, orphans: _Orphans, complete_from: EventKey) -> int:
        deleted, cursor, ended = 0, b"0", False
        while not ended:
            await self._hold()
            began = perf_counter()
            cursor, keys = await place.scan(cursor)
            found = await orphans.among(keys)
            for first in range(0, len(found), _DELETED_AT_ONCE):
                done = await place.delete(found[first : first + _DELETED_AT_ONCE], complete_from)
                if done is None:
                    return deleted
                deleted += done
            ended = cursor == b"0"
            await asyncio.sleep(_REST * (perf_counter() - began))
        return deleted

    def _surely_before(self, survey: Survey) -> int:
        now = (survey.now - EPOCH) // _MILLISECOND
        return 0 if survey.complete_from is None else min(survey.complete_from.milliseconds, now) - self._spread

    async def _oldest(self, first: EventKey, last: EventKey) -> int:
        """Return the time of the oldest name by which one of these events has a hash."""
        oldest, start, end = last.milliseconds, first, last.successor()
        while entries := await self._stream.range(start, end, _READ_AT_ONCE):
            await self._hold()
            began = perf_counter()
            for entry in entries:
                times = [time for name in _names(entry) or () if (time := _time_of(name)) is not None]
                oldest = min(oldest, entry.key.milliseconds, *times)
            start = entries[-1].key.successor()
            await asyncio.sleep(_REST * (perf_counter() - began))
        return oldest

    async def _kept(self, complete_from: EventKey) -> Collection[str] | None:
        """Return what the keys of hashes end with that single events before this key refer to.

        None if that cannot be known, as one of them cannot be read, or they are too many.
        """
        kept: set[str] = set()
        start: EventKey | None = None
        while entries := await self._stream.range(start, complete_from, _READ_AT_ONCE):
            for entry in entries:
                if (names := _names(entry)) is None:
                    return None
                kept.update(names)
            if len(kept) > _MOST_KEPT:
                return None
            start = entries[-1].key.successor()
        return kept

    def _report(self, deleted: int) -> None:
        if deleted:
            stream = self._stream.name
            telemetry.payloads_swept.add(deleted, {"uri": stream.uri})
            _log.warning("%d payloads beside stream %s belonged to no event; they were deleted.", deleted, stream.key)


class _Orphans:
    """Which keys are of orphans. ``oldest`` reads the stream for what is even surer, once there is a candidate."""

    def __init__(self, before: int, kept: Collection[str], oldest: Callable[[], Awaitable[int]]) -> None:
        self._before = before
        self._kept = kept
        self._oldest = oldest
        self._sure = False

    async def among(self, keys: Sequence[str]) -> list[str]:
        found = self._found(keys)
        if found and not self._sure:
            self._before, self._sure = min(self._before, await self._oldest()), True
            found = self._found(keys)
        return found

    def _found(self, keys: Sequence[str]) -> list[str]:
        names = [(key, key.rpartition(":")[2]) for key in keys]
        return [key for key, name in names if name not in self._kept and self._is_older(name)]

    def _is_older(self, name: str) -> bool:
        """Whether it is of an event before the time; one that is not named by a UUIDv7 is nobody's orphan."""
        time = _time_of(name)
        return time is not None and time < self._before


def _time_of(name: str) -> int | None:
    """Return the milliseconds in a UUIDv7; None for another name."""
    try:
        return UUID(name).int >> 80
    except ValueError:
        return None


def _names(entry: Entry) -> list[str] | None:
    """Return what the keys of an entry's hashes end with; None if that cannot be read."""
    try:
        references, _ = read_references(entry.fields, entry.key)
        return [read_event_id(entry.fields[METADATA_FIELD.encode()]), *(each.key for each in references)]
    except (EntryUnreadable, RequirementUnknown):
        return None
