"""Entries become archived events: their metadata as it is, and the payloads that the archive copies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from event_backbone.archive.missing import missing_of
from event_backbone.archive.pacing import Pacing
from event_backbone.errors import EntryUnreadable, RequirementUnknown, StorageError
from event_backbone.model import Payload, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import load_references
from event_backbone.stream.values import Entry
from event_backbone.wire import METADATA_FIELD, is_redriven, read_inline, read_references
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
        self._scope = replace(scope, written=True)
        self._storages = storages
        self._copied = copied
        self._unknown: RequirementUnknown | None = None

    async def archived(self, entries: Sequence[Entry], pacing: Pacing) -> AsyncGenerator[Sequence[ArchivedEvent], None]:
        """Yield the events in these entries, in order, some at a time.

        What is not an event of wire format 1 is left out, and logged unless it is a redriven entry. Payloads are loaded
        together, as many as have 8 MiB, and the next ones while these are worked on.

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
                before, loading = loading, None if part is None else self._begin(part, pacing)
                if before is not None:
                    yield await before
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
        for entry in entries:
            if is_redriven(entry.fields):
                continue
            try:
                references, size_bytes = read_references(entry.fields, entry.key)
            except EntryUnreadable as error:
                _log.warning("Not archived: %s", error)
                continue
            except RequirementUnknown as error:
                self._unknown = error
                break
            if len(found) == _MOST_EVENTS or (found and found_bytes + size_bytes > _MOST_BYTES):
                yield found
                found, found_bytes = [], 0
            found.append((entry, references))
            found_bytes += size_bytes
        if found:
            yield found

    def _begin(self, part: Sequence[_Found], pacing: Pacing) -> asyncio.Task[list[ArchivedEvent]]:
        task = asyncio.create_task(pacing.measured(partial(self._copies, part)))
        task.add_done_callback(_retrieve)
        return task

    async def _copies(self, found: Sequence[_Found]) -> list[ArchivedEvent]:
        wanted = [each for _, references in found for each in references if each.storage in self._copied]
        loaded: dict[int, _Loaded] = {}
        if wanted:
            await load_references(self._scope, self._storages, wanted, loaded.update)
        contents = map(loaded.__getitem__, range(len(wanted)))
        return [self._archived(entry, references, contents) for entry, references in found]

    def _archived(
        self, entry: Entry, references: Sequence[PayloadReference], contents: Iterator[_Loaded]
    ) -> ArchivedEvent:
        """Return an archived event; the next ``contents`` are what was loaded of it, in order of its references."""
        key, fields = entry
        document = fields[_METADATA]
        if not references:
            return ArchivedEvent(key, document, read_inline(fields))
        if len(references) == 1:
            storage = references[0].storage
            content = next(contents) if storage in self._copied else None
            if isinstance(content, StorageError):
                return ArchivedEvent(key, document, missing={storage: missing_of(content)})
            return ArchivedEvent(key, document, content)
        copies = {each.storage: next(contents) for each in references if each.storage in self._copied}
        present = {name: copy for name, copy in copies.items() if not isinstance(copy, StorageError)}
        return ArchivedEvent(
            key,
            document,
            {name: value for copy in present.values() for name, value in copy.items()} if present else None,
            {name: missing_of(copy) for name, copy in copies.items() if isinstance(copy, StorageError)},
            {name: tuple(copy) for name, copy in present.items()},
        )


def _retrieve(task: asyncio.Task[list[ArchivedEvent]]) -> None:
    """Take note of what nobody waits for any more."""
    if not task.cancelled():
        task.exception()
