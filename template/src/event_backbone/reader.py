"""Reads events without a consumer group: one by its key, a range, or new ones as they come."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, NamedTuple

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays
from event_backbone.contract import EventOf
from event_backbone.contract.stored_event import StoredEvent, is_event
from event_backbone.errors import (
    ConfigurationError,
    EntryUnreadable,
    EventNotFound,
    StorageMissing,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.model import EventKey, Metadata, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_payloads
from event_backbone.stream.base import Stream
from event_backbone.stream.values import Entry
from event_backbone.wire import read_entry, read_inline

Bound = EventKey | datetime
"""A position in a stream: an event's key, or an aware time, which is compared with the server's append time."""

_Wanted = Collection[EventOf[Any, ...]] | None
_Page = tuple[Sequence[Entry], list[StoredEvent]]
"""Entries, and the wanted events among them."""

_PAGE = 100
_PAGE_BACKWARDS = 1000  # of entries that are only counted: no payload is loaded for them
_WAIT = timedelta(seconds=1)
_EPOCH = datetime.fromtimestamp(0, UTC)
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0)

_log = logging.getLogger("event_backbone")


class _Event(NamedTuple):
    metadata: Metadata
    references: tuple[PayloadReference, ...]
    entry: Entry


class Reader:
    """Reads the events of one stream. It acks, counts and claims nothing; readers do not affect each other."""

    def __init__(self, stream: Stream, storages: Mapping[str, Storage], scope: StorageScope) -> None:
        """Read ``stream``, with payloads from ``storages`` by their names."""
        self._stream = stream
        self._storages = storages
        self._scope = scope

    async def get(self, key: EventKey) -> StoredEvent:
        """Return the event with this key. If its payload is gone or erased, the event says so.

        Raises:
            EventNotFound: the stream has no event with this key (any longer).
            EntryUnreadable: the entry is not in a wire format known here: another program or a later version wrote it.
            RequirementUnknown: reading it requires what this version does not know.
            StreamUnavailable, StorageUnavailable: waiting may help.
            StorageMissing: the payload is in a storage that this backbone was not given.
        """
        stream, ours = self._stream, key.partition == self._stream.name.partition
        entry = await stream.get(key) if ours else None
        if entry is None:
            erased = ours and await stream.erased([key])
            end = " any longer: it was erased." if erased else "."
            raise EventNotFound(f"Stream {stream.name.key} has no event {key}{end}")
        (event,) = await self._load([self._event_of(entry)])
        return event

    async def scan(
        self,
        start: Bound | Literal["now"] | None = None,
        end: Bound | None = None,
        *,
        last: int | None = None,
        follow: bool = False,
        events: Collection[EventOf[Any, ...]] | None = None,
    ) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events from ``start`` (inclusive) to ``end`` (exclusive), in order, each once.

        Events whose payload is gone or erased are yielded, too. Entries that cannot be read are skipped and logged.

        Args:
            start: None is the beginning; ``"now"`` is after the newest event.
            end: None is after the newest event.
            last: begin with the newest ``last`` events that are there, of those in ``events`` if given.
            follow: wait for new events, until the iterator is closed; it also waits for outages to end, without a gap.
            events: yield only these events of a contract; payloads of others are not loaded.

        Raises:
            ConfigurationError: a time has no time zone, or ``end`` comes with ``follow``, or ``start`` with ``last``.
            RequirementUnknown: a later version wrote an event.
            StreamUnavailable, StorageUnavailable: with ``follow`` only on the first read; StorageMissing on any.
        """
        _check_bounds(start, end, last, follow=follow)
        stop = None if end is None else _key_at(end)
        position = await (self._before(start) if last is None else self._before_last(last, stop, events))
        entries, found = await self._range(position, stop, events)
        while True:
            for event in found:
                yield event
            position = entries[-1].key if entries else position
            if len(entries) == _PAGE:
                read = partial(self._range, position, stop, events)
            elif follow:
                read = partial(self._after, position, events)
            else:
                return
            entries, found = await (self._through_outages(read) if follow else read())

    async def _before(self, start: Bound | Literal["now"] | None) -> EventKey:
        """Return a key before the first wanted event, and not before the one that precedes it."""
        if start is None:
            return EventKey(0)
        if start == "now":
            return await self._stream.last_key()
        return _key_at(start).predecessor()

    async def _before_last(self, count: int, stop: EventKey | None, events: _Wanted) -> EventKey:
        """Return a key before the newest ``count`` wanted events, and not before the one that precedes them."""
        page = _PAGE_BACKWARDS if events is not None else min(count, _PAGE_BACKWARDS)
        while entries := await self._stream.before(stop, page):
            for entry in entries:
                with suppress(EntryUnreadable):
                    count -= self._wanted(entry, events) is not None
                if count == 0:
                    return entry.key.predecessor()
            stop = entries[-1].key
        return EventKey(0)

    async def _range(self, last: EventKey, stop: EventKey | None, events: _Wanted) -> _Page:
        """Return what is in the stream after ``last``."""
        entries = await self._stream.range(last.successor(), stop, _PAGE)
        return entries, await self._read(entries, events)

    async def _after(self, last: EventKey, events: _Wanted) -> _Page:
        """Wait for what comes after ``last``."""
        entries = await self._stream.after(last, _PAGE, _WAIT)
        return entries, await self._read(entries, events)

    async def _through_outages(self, read: Callable[[], Awaitable[_Page]]) -> _Page:
        """Read until there is an answer. Nothing is missed meanwhile, as the reader keeps its own position."""
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await read()
            except StorageMissing:
                raise
            except (StreamUnavailable, StorageUnavailable) as error:
                telemetry.outages.add(1, {"uri": self._stream.name.uri, "side": "reader"})
                _log.warning(
                    "Cannot read stream %s at the moment; it will be retried: %s", self._stream.name.key, error
                )
                await delays.wait()

    async def _read(self, entries: Sequence[Entry], events: _Wanted) -> list[StoredEvent]:
        wanted: list[_Event] = []
        for entry in entries:
            try:
                found = self._wanted(entry, events)
            except EntryUnreadable as error:
                _log.warning("%s", error)
                continue
            if found is not None:
                wanted.append(found)
        return await self._load(wanted) if wanted else []

    def _wanted(self, entry: Entry, events: _Wanted) -> _Event | None:
        """Return the entry's event if it is one of ``events``; raise EntryUnreadable."""
        found = self._event_of(entry)
        return found if events is None or any(is_event(found.metadata, event) for event in events) else None

    def _event_of(self, entry: Entry) -> _Event:
        metadata, references = read_entry(entry.fields, self._stream.name, entry.key)
        return _Event(metadata, references, entry)

    async def _load(self, found: Sequence[_Event]) -> list[StoredEvent]:
        parts = [each.references for each in found if each.references]
        contents = iter(await collect_available_payloads(self._scope, self._storages, parts))
        return [
            StoredEvent(
                each.metadata,
                next(contents) if each.references else read_inline(each.entry.fields),
                each.references,
            )
            for each in found
        ]


def _check_bounds(start: object, end: object, last: int | None, *, follow: bool) -> None:
    if follow and end is not None:
        raise ConfigurationError("Give either follow=True or an end, not both.")
    if last is not None and (start is not None or last < 1):
        raise ConfigurationError("Give either a start or last, which must be at least 1.")


def _key_at(bound: Bound) -> EventKey:
    """Return the first key at or after a bound."""
    if isinstance(bound, EventKey):
        return bound
    if bound.tzinfo is None:
        raise ConfigurationError("A time in a stream needs a time zone; use datetime.now(UTC), for example.")
    return EventKey(max(0, -((_EPOCH - bound) // timedelta(milliseconds=1))))
