"""Deletes payload hashes that no entry refers to: people trim streams, too, and leave them behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone import telemetry
from event_backbone.errors import EntryUnreadable, RequirementUnknown
from event_backbone.model import EventKey
from event_backbone.stream.base import Stream
from event_backbone.stream.values import Entry
from event_backbone.wire import read_event_id, read_references
from event_backbone.wire.fields import EPOCH, METADATA_FIELD

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining
    from event_backbone.stream.redis.retention_values import Survey

_SCANNED_AT_ONCE = 1000
_DELETED_AT_ONCE = 100
_READ_AT_ONCE = 500
_MOST_KEPT = 20_000
_REST = 3
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_MILLISECOND = timedelta(milliseconds=1)

_log = logging.getLogger("event_backbone")


class Sweep:
    """Goes through all keys of the Redis, as only that finds what no entry refers to.

    A hash is deleted if the stream has no event of its time any more: it is older than the key from which the stream
    has no gaps, and than all events from there on, whose keys may be ahead of their times, as after a clock that was;
    and none of the single events that are kept from before that refers to it. What is being produced or restored is
    never deleted.
    """

    def __init__(
        self, stream: Stream, retaining: RedisRetaining, deduplicate_for: timedelta, hold: Callable[[], Awaitable[None]]
    ) -> None:
        """Sweep beside this stream; ``hold`` keeps the lock, and raises Interrupted when it is lost."""
        self._stream = stream
        self._retaining = retaining
        self._spread = (deduplicate_for + _CLOCKS_DIFFER_BY) // _MILLISECOND
        self._hold = hold

    async def run(self, survey: Survey) -> int:
        """Return how many hashes were deleted. Raises StreamUnavailable and Interrupted."""
        complete_from, before = survey.complete_from, self._surely_before(survey)
        if complete_from is None or before <= 0:
            return 0
        kept = await self._kept(complete_from)
        deleted, cursor, ended, sure = 0, b"0", kept is None, False
        while not ended:
            await self._hold()
            began = perf_counter()
            cursor, keys = await self._retaining.payload_keys(cursor, _SCANNED_AT_ONCE)
            orphans = [key for key in keys if _is_older(key, before) and _last_part(key) not in (kept or ())]
            if orphans and not sure:
                before, sure = min(before, await self._oldest(complete_from, survey.last)), True
                orphans = [key for key in orphans if _is_older(key, before)]
            for first in range(0, len(orphans), _DELETED_AT_ONCE):
                done = await self._retaining.sweep(orphans[first : first + _DELETED_AT_ONCE], complete_from)
                if done is None:
                    return deleted
                deleted += done
            ended = cursor == b"0"
            await asyncio.sleep(_REST * (perf_counter() - began))
        self._report(deleted)
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


def _last_part(key: bytes) -> str:
    return key.rpartition(b":")[2].decode(errors="replace")


def _is_older(key: bytes, milliseconds: int) -> bool:
    """Whether a hash is of an event before this time; one that is not named by a UUIDv7 is nobody's orphan."""
    time = _time_of(_last_part(key))
    return time is not None and time < milliseconds


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
