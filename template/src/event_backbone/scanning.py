"""Reads a stream page by page, and its archive where the stream has gaps: one ordered history, each event once."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from event_backbone import telemetry
from event_backbone.backoff import Backoff, Delays
from event_backbone.contract import EventOf
from event_backbone.contract.stored_event import StoredEvent, is_event
from event_backbone.errors import (
    EntryUnreadable,
    StorageError,
    StorageMissing,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.model import EventKey, Metadata, Payload, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_payloads, is_gone
from event_backbone.stream.base import Stream
from event_backbone.stream.values import NOT_INLINE, Entry
from event_backbone.wire import is_redriven, read_entry, read_inline

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdPage, ColdReads, Gap
    from event_backbone.wire.archived_event import ArchivedEvent

Wanted = Collection[EventOf[Any, ...]] | Callable[[Metadata], bool] | None
"""The events of a contract that are wanted, or what decides by their metadata; None means all of any contract."""

_PAGE = 100
_WAIT = timedelta(seconds=1)
_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0)

_log = logging.getLogger("event_backbone")


class _Event(NamedTuple):
    metadata: Metadata
    references: tuple[PayloadReference, ...]
    entry: Entry


class Scan:
    """Reads on from a position. What raised may be called again: nothing is left out, nothing comes twice."""

    def __init__(
        self,
        stream: Stream,
        cold: ColdReads | None,
        loading: EventLoading,
        *,
        position: EventKey,
        stop: EventKey | None,
        events: Wanted,
        follow: bool,
        page_bytes: int | None = None,
    ) -> None:
        """Begin after ``position``; without ``follow``, end before ``stop`` or after the newest event.

        With ``page_bytes``, the payloads of a page from the stream are not larger together, unless one alone is.
        """
        self._stream = stream
        self._cold = cold
        self._loading = loading
        self._position = position
        self._stop = stop
        self._events = events
        self._follow = follow
        self._page_bytes = page_bytes
        self._archived: AsyncGenerator[ColdPage, None] | None = None
        self._filled: Gap | None = None  # the gap for which the archive has been read to its end
        self._filling: Gap | None = None
        self._read_all = False

    @property
    def position(self) -> EventKey:
        """Up to where it has read: no wanted event after this key was returned, and all before it were."""
        return self._position

    @property
    def at_end(self) -> bool:
        """Whether the last page was, when it was read, the last there is."""
        return self._read_all and self._archived is None

    async def next_page(self) -> list[StoredEvent] | None:
        """Return the wanted events of the next page, perhaps none; None at the end.

        With ``follow`` it waits up to a second for new events instead.
        """
        if self._archived is not None:
            return await self._next_archived()
        if self._read_all and not self._follow:
            return None
        wait = self._read_all
        entries = await self._stream.after(self._position, _PAGE, _WAIT) if wait else ()
        if self._cold is None:
            if not wait:
                entries = await self._stream.range(self._position.successor(), self._stop, _PAGE)
        else:
            if wait and not entries:
                return []
            entries, gap = await self._cold.page(self._position, self._stop, _PAGE)
            if gap is not None and gap != self._filled:
                self._archived, self._filling = self._cold.pages(self._position, self._stop, gap), gap
                return []
        found, count = await self._loading.read(entries, self._events, self._page_bytes)
        self._read_all = count == len(entries) < _PAGE
        self._position = entries[count - 1].key if count else self._position
        return found

    async def next_page_after_outages(self) -> list[StoredEvent] | None:
        """Return the same, and wait for outages to end. Nothing is missed meanwhile, as it keeps its position."""
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await self.next_page()
            except StorageMissing:
                raise
            except (StreamUnavailable, StorageUnavailable) as error:
                name = self._stream.name
                telemetry.outages.add(1, {"uri": name.uri, "side": "reader"})
                _log.warning("Cannot read stream %s at the moment; it will be retried: %s", name.key, error)
                await delays.wait()

    async def close(self) -> None:
        """End what is being read ahead. May be called twice."""
        archived, self._archived = self._archived, None
        if archived is not None:
            await archived.aclose()

    async def _next_archived(self) -> list[StoredEvent]:
        archived = self._archived
        try:
            page = None if archived is None else await anext(archived, None)
            if page is None:
                self._archived, self._filled = None, self._filling
                return []
            found = await self._loading.read_archived(page, self._events)
        except BaseException:
            await self.close()
            raise
        self._position = page.events[-1].key
        return found


class EventLoading:
    """Makes stored events of entries and of archived events, with their payloads.

    Left out is an event whose payload is gone because its entry, since it was read, has left the stream.
    """

    def __init__(
        self,
        stream: Stream,
        storages: Mapping[str, Storage],
        scope: StorageScope,
        cold: ColdReads | None,
        *,
        needs: Callable[[Metadata], bool] | None = None,
        on_unreadable: Callable[[EventKey, EntryUnreadable], None] | None = None,
    ) -> None:
        """Load payloads from ``storages``, by their names; what is gone there from the archive, by ``cold``.

        With ``needs``, the payloads of other events are not loaded: an empty one takes their place. ``on_unreadable``
        takes what cannot be read, instead of the log.
        """
        self._needs = needs
        self._on_unreadable = on_unreadable
        self._stream = stream
        self._storages = storages
        self._scope = scope
        self._cold = cold

    async def read(
        self, entries: Sequence[Entry], events: Wanted, most_bytes: int | None = None
    ) -> tuple[list[StoredEvent], int]:
        """Return the wanted events, and of how many entries; redriven ones, and what cannot be read, are skipped.

        These are all entries, unless the payloads of the wanted ones are larger than ``most_bytes``: then those that
        fit, but at least one.

        Raises:
            StorageUnavailable: a payload may be there later; StorageMissing: its storage was not given.
            RequirementUnknown: a later version wrote an event.
        """
        wanted, size_bytes = list[_Event](), 0
        for count, entry in enumerate(entries):
            if is_redriven(entry.fields):
                continue
            try:
                found = self._event_of(entry)
            except EntryUnreadable as error:
                if self._on_unreadable is None:
                    _log.warning("%s", error)
                else:
                    self._on_unreadable(entry.key, error)
                continue
            if is_wanted(found.metadata, events):
                size_bytes += found.metadata.size_bytes
                if most_bytes is not None and size_bytes > most_bytes and wanted:
                    return await self._load(wanted), count
                wanted.append(found)
        return await self._load(wanted) if wanted else [], len(entries)

    async def one(self, entry: Entry) -> StoredEvent | None:
        """Return the event in this entry; None if it has left. Raises as ``read`` does, and EntryUnreadable."""
        return next(iter(await self._load([self._event_of(entry)])), None)

    async def read_archived(self, page: ColdPage, events: Wanted = None) -> list[StoredEvent]:
        """Return the wanted events among archived ones. Raises as ``read`` does."""
        from event_backbone.archive.reading import stored_events  # noqa: PLC0415 - only with an archive

        wanted = page.events if events is None else [each for each in page.events if self.wants(each, events)]
        return await stored_events(self._scope, self._storages, wanted, page.segment, self._needs) if wanted else []

    def wants(self, event: ArchivedEvent, events: Wanted) -> bool:
        """Return whether an archived event is wanted."""
        from event_backbone.archive.reading import read_metadata  # noqa: PLC0415 - only with an archive

        return events is None or is_wanted(read_metadata(event, self._scope.stream)[0], events)

    def entry_wanted(self, entry: Entry, events: Wanted) -> bool:
        """Return whether an entry holds a wanted event; one that cannot be read does not."""
        try:
            return is_wanted(self._event_of(entry).metadata, events)
        except EntryUnreadable:
            return False

    def _event_of(self, entry: Entry) -> _Event:
        metadata, references = read_entry(entry.fields, self._scope.stream, entry.key)
        return _Event(metadata, references, entry)

    async def _load(self, found: Sequence[_Event]) -> list[StoredEvent]:
        needs = self._needs
        referring = [each for each in found if each.references and (needs is None or needs(each.metadata))]
        loaded = await self._payloads(referring)
        gone = [each.entry.key for each, content in zip(referring, loaded, strict=True) if is_gone(content)]
        left = await self._left(gone) if gone else ()
        contents, needed = iter(loaded), iter(referring)
        following = next(needed, None)
        events: list[StoredEvent] = []
        for each in found:
            content: Payload | StorageError = NOT_INLINE
            if each is following:
                content, following = next(contents), next(needed, None)
            elif not each.references:
                content = read_inline(each.entry.fields)
            events.append(StoredEvent(each.metadata, content, each.references))
        return [each for each in events if each.key not in left] if left else events

    async def _left(self, keys: Sequence[EventKey]) -> set[EventKey]:
        """Return which of these events, all of one page, neither the stream nor its archive has any longer."""
        there = {entry.key for entry in await self._stream.range(keys[0], keys[-1].successor(), _PAGE)}
        left = [key for key in keys if key not in there]
        return {key for key in left if self._cold is None or await self._cold.get(key) is None}

    async def _payloads(self, found: Sequence[_Event]) -> list[Payload | StorageError]:
        if self._cold is None:
            parts = [each.references for each in found]
            return await collect_available_payloads(self._scope, self._storages, parts)
        from event_backbone.archive.fallback import collect_with_archive  # noqa: PLC0415 - only with an archive

        places = [(each.metadata.key, each.references) for each in found]
        return await collect_with_archive(self._scope, self._storages, self._cold, places)


def is_wanted(metadata: Metadata, events: Wanted) -> bool:
    """Return whether an event is one of ``events``."""
    if callable(events):
        return events(metadata)
    return events is None or any(is_event(metadata, event) for event in events)
