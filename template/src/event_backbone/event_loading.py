"""Makes stored events of what a scan reads: of entries, and of archived events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EntryUnreadable, StorageError
from event_backbone.model import EventKey, Metadata, Payload, PayloadReference
from event_backbone.scanning import Wanted, is_wanted
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_payloads, is_gone
from event_backbone.stream.base import Stream
from event_backbone.stream.values import NOT_INLINE, Entry
from event_backbone.wire import is_redriven, read_entry, read_inline

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdPage, ColdReads
    from event_backbone.wire.archived_event import ArchivedEvent

_AT_ONCE = 1000

_log = logging.getLogger("event_backbone")


class _Event(NamedTuple):
    metadata: Metadata
    references: tuple[PayloadReference, ...]
    entry: Entry


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
        self, entries: Sequence[Entry], wanted: Wanted, most_bytes: int | None = None
    ) -> tuple[list[StoredEvent], int]:
        """Return the wanted events, and of how many entries; redriven ones, and what cannot be read, are skipped.

        These are all entries, unless the payloads of the wanted ones are larger than ``most_bytes``: then those that
        fit, but at least one.

        Raises:
            StorageUnavailable: a payload may be there later; StorageMissing: its storage was not given.
            RequirementUnknown: a later version wrote an event.
        """
        found, size_bytes = list[_Event](), 0
        for count, entry in enumerate(entries):
            if is_redriven(entry.fields):
                continue
            try:
                event = self._event_of(entry)
            except EntryUnreadable as error:
                if self._on_unreadable is None:
                    _log.warning("%s", error)
                else:
                    self._on_unreadable(entry.key, error)
                continue
            if is_wanted(event.metadata, wanted):
                size_bytes += event.metadata.size_bytes
                if most_bytes is not None and size_bytes > most_bytes and found:
                    return await self._load(found), count
                found.append(event)
        return await self._load(found) if found else [], len(entries)

    async def one(self, entry: Entry) -> StoredEvent | None:
        """Return the event in this entry; None if it has left. Raises as ``read`` does, and EntryUnreadable."""
        return next(iter(await self._load([self._event_of(entry)])), None)

    async def read_archived(self, page: ColdPage, wanted: Wanted = None) -> list[StoredEvent]:
        """Return the wanted events among archived ones. Raises as ``read`` does."""
        from event_backbone.archive.reading import stored_events  # noqa: PLC0415 - only with an archive

        events = page.events if wanted is None else [each for each in page.events if self.wants(each, wanted)]
        return await stored_events(self._scope, self._storages, events, page.segment, self._needs) if events else []

    def wants(self, event: ArchivedEvent, wanted: Wanted) -> bool:
        """Return whether an archived event is wanted."""
        from event_backbone.archive.reading import read_metadata  # noqa: PLC0415 - only with an archive

        return wanted is None or is_wanted(read_metadata(event, self._scope.stream)[0], wanted)

    def entry_wanted(self, entry: Entry, wanted: Wanted) -> bool:
        """Return whether an entry holds a wanted event; one that cannot be read does not."""
        try:
            return is_wanted(self._event_of(entry).metadata, wanted)
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
        there = {entry.key for entry in await self._stream.range(keys[0], keys[-1].successor(), _AT_ONCE)}
        left = [key for key in keys if key not in there]
        return {key for key in left if self._cold is None or await self._cold.get(key) is None}

    async def _payloads(self, found: Sequence[_Event]) -> list[Payload | StorageError]:
        if self._cold is None:
            parts = [each.references for each in found]
            return await collect_available_payloads(self._scope, self._storages, parts)
        from event_backbone.archive.fallback import collect_with_archive  # noqa: PLC0415 - only with an archive

        places = [(each.metadata.key, each.references) for each in found]
        return await collect_with_archive(self._scope, self._storages, self._cold, places)
