"""Reads the events that a link may forward: their metadata as it was written, and where their payload is."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from event_backbone.archive.gap import Gap
from event_backbone.errors import EntryUnreadable
from event_backbone.model import EventKey, PayloadReference
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.values import Entry
from event_backbone.wire import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT, is_redriven, read_references

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdPage
    from event_backbone.scanning import Wanted
    from event_backbone.wire.archived_event import ArchivedEvent

_FORMAT, _METADATA = FORMAT_FIELD.encode(), METADATA_FIELD.encode()

_BATCH_BYTES = 4 << 20

_log = logging.getLogger("event_backbone")


class SourceEvent(NamedTuple):
    """An event as it was read, without its payload, unless the archive or the entry has it.

    Attributes:
        key: its key.
        members: its metadata, as it was written.
        references: where its payload is; none if it is inline.
        size_bytes: the size of its payload.
        entry: its entry in the stream; None if it was read from the archive.
        archived: the event as the archive has it, and in which segment; None if it was read from the stream.
    """

    key: EventKey
    members: dict[str, Any]
    references: tuple[PayloadReference, ...]
    size_bytes: int
    entry: Entry | None
    archived: tuple[ArchivedEvent, str] | None


def id_of(event: SourceEvent) -> str:
    """Return the event id as it is compared."""
    return str(event.members["id"]).lower()


def in_batches(events: Sequence[SourceEvent], most: int) -> Iterator[list[SourceEvent]]:
    """Yield parts of a page, each of up to ``most`` events, and small enough for memory."""
    batch: list[SourceEvent] = []
    size_bytes = 0
    for event in events:
        if batch and (len(batch) == most or size_bytes + event.size_bytes > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(event)
        size_bytes += event.size_bytes
    if batch:
        yield batch


class SourceLoading:
    """Makes source events of entries and of archived events. Redriven entries are left out."""

    def __init__(self, on_unreadable: Callable[[EventKey], None] = lambda _: None) -> None:
        """Tell ``on_unreadable`` of entries that are not in a known wire format; they are left out and logged."""
        self._on_unreadable = on_unreadable

    async def read(
        self,
        entries: Sequence[Entry],
        wanted: Wanted,  # noqa: ARG002 - all of them
        most_bytes: int | None,  # noqa: ARG002 - payloads are loaded later
        /,
    ) -> tuple[list[SourceEvent], int]:
        """Return the events in these entries; raise RequirementUnknown if a later version wrote one."""
        found: list[SourceEvent] = []
        for entry in entries:
            if is_redriven(entry.fields):
                continue
            event = self._read(entry.key, entry.fields, entry, None)
            if event is not None:
                found.append(event)
        return found, len(entries)

    async def read_archived(self, page: ColdPage, wanted: Wanted, /) -> list[SourceEvent]:  # noqa: ARG002 - as above
        """Return these archived events. Raises as ``read`` does."""
        found: list[SourceEvent] = []
        for each in page.events:
            fields = {_FORMAT: WIRE_FORMAT, _METADATA: each.document}
            event = self._read(each.key, fields, None, (each, page.segment))
            if event is not None:
                found.append(event)
        return found

    def _read(
        self,
        key: EventKey,
        fields: Mapping[bytes, bytes],
        entry: Entry | None,
        archived: tuple[ArchivedEvent, str] | None,
    ) -> SourceEvent | None:
        try:
            references, size_bytes = read_references(fields, key)
        except EntryUnreadable as error:
            _log.warning("%s", error)
            self._on_unreadable(key)
            return None
        return SourceEvent(key, from_json(fields[_METADATA]), references, size_bytes, entry, archived)


class WithoutArchive:
    """Reads a stream that has no archive, and notices what has left it before it was read."""

    def __init__(self, notes: ArchiveNotes, on_gap: Callable[[EventKey], None]) -> None:
        """Tell ``on_gap`` of events that have left: those up to its key."""
        self._notes = notes
        self._on_gap = on_gap

    async def page(self, after: EventKey, stop: EventKey | None, count: int) -> tuple[Sequence[Entry], Gap | None]:
        """Return entries after this key, and whether others after it have left."""
        entries, complete_from, _ = await self._notes.page(after, stop, count)
        if complete_from is None or complete_from <= after.successor():
            return entries, None
        return entries, Gap(complete_from)

    async def pages(self, after: EventKey, stop: EventKey | None, gap: Gap) -> AsyncGenerator[ColdPage, None]:  # noqa: ARG002 - as ColdReads
        """Report the gap; there is nothing that fills it."""
        if gap.before is not None:
            self._on_gap(gap.before.predecessor())
        return
        yield
