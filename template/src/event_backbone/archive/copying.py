"""Entries become archived events: their metadata as it is, and the payloads that the archive copies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence

from event_backbone.archive.missing import missing_of
from event_backbone.errors import EntryUnreadable, RequirementUnknown, StorageError
from event_backbone.model import Metadata, Payload, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import load_references
from event_backbone.stream.values import Entry
from event_backbone.wire import METADATA_FIELD, read_entry, read_inline
from event_backbone.wire.archived_event import ArchivedEvent

_METADATA = METADATA_FIELD.encode()
_MOST_BYTES = 8 << 20
_MOST_EVENTS = 250
_log = logging.getLogger("event_backbone")

_Loaded = Payload | StorageError
_Found = tuple[Entry, tuple[PayloadReference, ...]]


class Copying:
    """Copies events of one stream."""

    def __init__(self, scope: StorageScope, storages: Mapping[str, Storage], copied: Collection[str]) -> None:
        """Copy the payloads that are in the storages named in ``copied``; of all others only the reference is kept."""
        self._scope = scope
        self._storages = storages
        self._copied = copied
        self._unknown: RequirementUnknown | None = None

    async def archived(self, entries: Sequence[Entry]) -> AsyncGenerator[ArchivedEvent, None]:
        """Yield the events in these entries, in order. What is not an event of wire format 1 is left out, and logged.

        Payloads are loaded together, as many as have 8 MiB, and the next ones while these are worked on.

        Raises:
            StorageUnavailable: a payload may be there later, or may not be read at the moment.
            RequirementUnknown: a later version wrote an event; those before it were yielded.
        """
        self._unknown = None
        loading: asyncio.Task[list[ArchivedEvent]] | None = None
        parts = self._parts(entries)
        try:
            while True:
                part = next(parts, None)
                before, loading = loading, None if part is None else self._begin(part)
                for event in await before if before is not None else ():
                    yield event
                if loading is None:
                    break
            if self._unknown is not None:
                raise self._unknown
        finally:
            if loading is not None:
                loading.cancel()

    def _parts(self, entries: Sequence[Entry]) -> Iterator[list[_Found]]:
        """Yield what is loaded together; nothing more after an event that a later version wrote."""
        found: list[_Found] = []
        found_bytes = 0
        for entry, metadata, references in self._events_of(entries):
            if len(found) == _MOST_EVENTS or (found and found_bytes + metadata.size_bytes > _MOST_BYTES):
                yield found
                found, found_bytes = [], 0
            found.append((entry, references))
            found_bytes += metadata.size_bytes
        if found:
            yield found

    def _begin(self, part: Sequence[_Found]) -> asyncio.Task[list[ArchivedEvent]]:
        task = asyncio.create_task(self._copies(part))
        task.add_done_callback(_retrieve)
        return task

    async def _copies(self, found: Sequence[_Found]) -> list[ArchivedEvent]:
        wanted = [reference for _, references in found for reference in references if reference.storage in self._copied]
        loaded: dict[PayloadReference, _Loaded] = {}

        def on_payloads(results: Iterable[tuple[int, _Loaded]]) -> None:
            for position, result in results:
                loaded[wanted[position]] = result

        if wanted:
            await load_references(self._scope, self._storages, wanted, on_payloads)
        return [_archived(entry, references, loaded) for entry, references in found]

    def _events_of(self, entries: Sequence[Entry]) -> Iterable[tuple[Entry, Metadata, tuple[PayloadReference, ...]]]:
        for entry in entries:
            try:
                metadata, references = read_entry(entry.fields, self._scope.stream, entry.key)
            except EntryUnreadable as error:
                _log.warning("Not archived: %s", error)
            except RequirementUnknown as error:
                self._unknown = error
                return
            else:
                yield entry, metadata, references


def _retrieve(task: asyncio.Task[list[ArchivedEvent]]) -> None:
    """Take note of what nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def _archived(
    entry: Entry, references: tuple[PayloadReference, ...], loaded: Mapping[PayloadReference, _Loaded]
) -> ArchivedEvent:
    document = entry.fields[_METADATA]
    if not references:
        return ArchivedEvent(entry.key, document, read_inline(entry.fields))
    if len(references) == 1:
        content = loaded.get(references[0])
        if content is None or not isinstance(content, StorageError):
            return ArchivedEvent(entry.key, document, content)
        return ArchivedEvent(entry.key, document, missing={references[0].storage: missing_of(content)})
    copies = {each.storage: loaded[each] for each in references if each in loaded}
    present = {name: copy for name, copy in copies.items() if not isinstance(copy, StorageError)}
    return ArchivedEvent(
        entry.key,
        document,
        {name: value for copy in present.values() for name, value in copy.items()} if present else None,
        {name: missing_of(copy) for name, copy in copies.items() if isinstance(copy, StorageError)},
        {name: tuple(copy) for name, copy in present.items()},
    )
