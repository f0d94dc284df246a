"""Reads events without a consumer group: one by its key, a range, or new ones as they come."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from event_backbone.contract import EventOf
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import ConfigurationError, EventNotFound
from event_backbone.event_loading import EventLoading
from event_backbone.model import EventKey, OriginFilter
from event_backbone.scanning import Scan, Wanted, wanted_of
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.base import Stream
from event_backbone.wire import is_redriven

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads

Bound = EventKey | datetime
"""A position in a stream: an event's key, or an aware time, which is compared with the server's append time."""

_PAGE_BACKWARDS = 1000  # of entries that are only counted: no payload is loaded for them
_EPOCH = datetime.fromtimestamp(0, UTC)

_log = logging.getLogger("event_backbone")


class Reader:
    """Reads the events of one stream. It acks, counts and claims nothing; readers do not affect each other.

    With an archive it reads there what the stream no longer has: both are one ordered history. Without one it begins a
    scan with what the stream still has, and logs it if that is after the start: at level info for the beginning.
    """

    def __init__(
        self, stream: Stream, storages: Mapping[str, Storage], scope: StorageScope, cold: ColdReads | None = None
    ) -> None:
        """Read ``stream``, with payloads from ``storages`` by their names; ``cold`` reads its archive."""
        self._stream = stream
        self._loading = EventLoading(stream, storages, scope, cold)
        self._cold = cold

    async def get(self, key: EventKey) -> StoredEvent:
        """Return the event with this key. If its payload is gone or erased, the event says so.

        Raises:
            EventNotFound: neither the stream nor its archive has an event with this key (any longer).
            EntryUnreadable: the entry is not in a wire format known here: another program or a later version wrote it.
            RequirementUnknown: reading it requires what this version does not know.
            StreamUnavailable, StorageUnavailable: waiting may help.
            StorageMissing: the payload is in a storage that this backbone was not given.
            ArchiveUnreadable: the event's segment is damaged, or a later version wrote it.
        """
        stream, ours = self._stream, key.partition == self._stream.name.partition
        entry = await stream.get(key) if ours else None
        found = None if entry is None or is_redriven(entry.fields) else await self._loading.one(entry)
        if found is not None:
            return found
        page = await self._cold.get(key) if self._cold is not None and ours else None
        if page is not None:
            (event,) = await self._loading.read_archived(page)
            return event
        erased = ours and await stream.erased([key])
        end = " any longer: it was erased." if erased else "."
        raise EventNotFound(f"Stream {stream.name.key} has no event {key}{end}")

    async def scan(
        self,
        start: Bound | Literal["now"] | None = None,
        end: Bound | None = None,
        *,
        last: int | None = None,
        follow: bool = False,
        events: Collection[EventOf[Any, ...]] | None = None,
        origin: OriginFilter = "any",
    ) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events from ``start`` (inclusive) to ``end`` (exclusive), in order, each once.

        Events whose payload is gone or erased are yielded, too. Entries that cannot be read are skipped and logged.

        Args:
            start: None is the beginning; ``"now"`` is after the newest event.
            end: None is after the newest event.
            last: begin with the newest ``last`` events that are there, of those that are wanted.
            follow: wait for new events, until the iterator is closed; it also waits for outages to end, without a gap.
            events: yield only these events of a contract; payloads of others are not loaded.
            origin: yield only events that were ``produced`` to this stream itself, or ``forwarded`` to it.

        Raises:
            ConfigurationError: a time has no time zone, or ``end`` comes with ``follow``, or ``start`` with ``last``.
            RequirementUnknown: a later version wrote an event.
            StreamUnavailable, StorageUnavailable: with ``follow`` only on the first read; StorageMissing on any.
            ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
        """
        _check_bounds(start, end, last, follow=follow)
        wanted, stop = wanted_of(events, origin), None if end is None else key_at(end)
        position = await (self._begin(start) if last is None else self._before_last(last, stop, wanted))
        scan = Scan(self._stream, self._cold, self._loading, position=position, stop=stop, wanted=wanted, follow=follow)
        try:
            page = await scan.next_page()
            while page is not None:
                for event in page:
                    yield event
                page = await (scan.next_page_after_outages() if follow else scan.next_page())
        finally:
            await scan.close()

    async def _begin(self, start: Bound | Literal["now"] | None) -> EventKey:
        """Return the key after which a scan begins; log what has left the stream, if no archive has it."""
        position = await self._before(start)
        if self._cold is None:
            await report_left(self._stream, start)
        return position

    async def _before(self, start: Bound | Literal["now"] | None) -> EventKey:
        """Return a key before the first wanted event, and not before the one that precedes it."""
        if start is None:
            return EventKey(0)
        if start == "now":
            return await self._stream.last_key()
        return key_at(start).predecessor()

    async def _before_last(self, count: int, stop: EventKey | None, wanted: Wanted) -> EventKey:
        """Return a key before the newest ``count`` wanted events, and not before the one that precedes them."""
        page = _PAGE_BACKWARDS if wanted is not None else min(count, _PAGE_BACKWARDS)
        while entries := await self._stream.before(stop, page):
            complete_from = None if self._cold is None else await self._stream.complete_from()
            without_gaps = [each for each in entries if complete_from is None or each.key >= complete_from]
            for entry in without_gaps:
                count -= self._loading.entry_wanted(entry, wanted)
                if count == 0:
                    return entry.key.predecessor()
            if complete_from is not None and len(without_gaps) < len(entries):
                stop = complete_from if stop is None else min(stop, complete_from)
                break
            stop = entries[-1].key
        if self._cold is None:
            return EventKey(0)
        return await self._cold.before_last(count, stop, lambda event: self._loading.wants(event, wanted))


async def report_left(stream: Stream, start: Bound | Literal["now"] | None) -> None:
    """Log that events after the start have left a stream without an archive, if they have."""
    level = logging.INFO if start is None else logging.WARNING
    if start == "now" or not _log.isEnabledFor(level):
        return
    complete_from = await stream.complete_from()
    if complete_from is not None and (start is None or key_at(start) < complete_from):
        text = "Events before %s have left stream %s; the scan begins with those that are still there."
        _log.log(level, text, complete_from, stream.name.key)


def _check_bounds(start: object, end: object, last: int | None, *, follow: bool) -> None:
    if follow and end is not None:
        raise ConfigurationError("Give either follow=True or an end, not both.")
    if last is not None and (start is not None or last < 1):
        raise ConfigurationError("Give either a start or last, which must be at least 1.")


def key_at(bound: Bound) -> EventKey:
    """Return the first key at or after a bound."""
    if isinstance(bound, EventKey):
        return bound
    if bound.tzinfo is None:
        raise ConfigurationError("A time in a stream needs a time zone; use datetime.now(UTC), for example.")
    return EventKey(max(0, -((_EPOCH - bound) // timedelta(milliseconds=1))))
