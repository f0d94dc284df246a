"""Finds the events that packs have, and neither archive nor stream: those that Redis lost before they were archived."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from event_backbone.model import PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.values import NewEntry
from event_backbone.wire import entry_metadata, id_of_record, is_forwarded
from event_backbone.wire.fields import EPOCH, MICROSECOND, RESTORED_HEADER

if TYPE_CHECKING:
    from event_backbone.storage.base import RecordLog
    from event_backbone.wire import LoggedRecord

_PAGE = 256
_MILLISECOND = timedelta(milliseconds=1)


class LostEvent(NamedTuple):
    """An event that only packs have, as an entry to append, and where its parts would be that no pack has."""

    entry: NewEntry
    elsewhere: tuple[PayloadReference, ...]


@dataclass(slots=True)
class _Found:
    """What packs have of one event: its record, or those of its parts, by the names of their storages."""

    document: bytes
    at_microseconds: int
    parts: tuple[str, ...]
    records: dict[str | None, LoggedRecord]

    def add(self, record: LoggedRecord) -> None:
        """Add a record; of two of the same part the first counts, or the one that was erased."""
        known = self.records.get(record.part)
        if known is None or (record.erased and not known.erased):
            self.records[record.part] = record

    def lost_event(self, event_id: str, headers: Mapping[str, str]) -> LostEvent:
        """Return the event. A part that is in no pack is where its storage keeps it, if it still does."""
        whole = self.records.get(None)
        missing: dict[str, PayloadReference] = {}
        if whole is not None:
            references: tuple[PayloadReference, ...] = (whole.reference,)
        else:
            missing = {
                name: PayloadReference(name, event_id, event_id) for name in self.parts if name not in self.records
            }
            references = tuple(missing.get(name) or self.records[name].reference for name in self.parts)
        metadata = entry_metadata(self.document, references, headers)
        return LostEvent(NewEntry(UUID(event_id), metadata), tuple(missing.values()))


@dataclass(slots=True)
class _Source:
    records: AsyncGenerator[Sequence[LoggedRecord], None]
    log: RecordLog
    newest: int = 0
    ended: bool = False


class LostEvents:
    """The events of one stream that only packs have. One ``pages`` at a time.

    Forwarded events are left out: their link brings them again, as it finds in the stream how far it was.
    """

    def __init__(
        self, scope: StorageScope, storages: Mapping[str, Storage], is_known: Callable[[str], bool], spread: timedelta
    ) -> None:
        """Look into all storages that can list what they have.

        ``is_known`` says of an event id, as text, whether archive or stream have its event. ``spread`` is how far apart
        the clocks of two producers may be, and the records of one event.
        """
        self._logs = record_logs(scope, storages)
        self._is_known = is_known
        self._spread = spread // MICROSECOND
        self._found: dict[str, _Found] = {}
        self._order: list[tuple[int, str]] = []
        self._yielded: set[str] = set()
        self._erased: dict[str, dict[str | None, LoggedRecord]] = {}
        self._since = 0
        self._damaged = 0

    @property
    def damaged(self) -> int:
        """How many lines of packs were no records, or had lost what an event needs, up to now."""
        return self._damaged + sum(log.damaged_lines for log in self._logs)

    async def pages(self, since: datetime | None, restored_at: datetime) -> AsyncGenerator[list[LostEvent], None]:
        """Yield the events, in the order in which they were produced.

        Packs are read twice, the first time for what was erased: an event may have several records, as after a
        migration, and what one of them says may come long after another one was yielded.

        Raises StorageUnavailable or ConfigurationError as ``RecordLog.records`` does.
        """
        self._yielded.clear()
        self._since = 0 if since is None else (since - EPOCH) // _MILLISECOND
        headers = {RESTORED_HEADER: restored_at.isoformat(timespec="seconds")}
        self._erased = await self._read_erased(since)
        async with AsyncExitStack() as stack:
            sources = [
                _Source(await stack.enter_async_context(aclosing(log.records(since, self._is_wanted))), log)
                for log in self._logs
            ]
            while reading := [each for each in sources if not each.ended]:
                source = min(reading, key=lambda each: each.newest)
                page = await anext(source.records, None)
                if page is None:
                    source.ended = True
                else:
                    self._add(page, source)
                for events in self._complete(sources, headers):
                    yield events

    async def _read_erased(self, since: datetime | None) -> dict[str, dict[str | None, LoggedRecord]]:
        """Return the records without arguments, by their event ids and parts."""
        erased: dict[str, dict[str | None, LoggedRecord]] = {}
        for log in self._logs:
            async with aclosing(log.records(since, self._may_be_erased)) as pages:
                async for page in pages:
                    for record in page:
                        if record.erased and record.event_id:
                            erased.setdefault(record.event_id.lower(), {})[record.part] = record
        return erased

    def _may_be_erased(self, line: bytes) -> bool:
        return (b'"erased"' in line or b"\\u" in line) and self._is_wanted(line)  # a name may be written with \\u

    def _is_wanted(self, line: bytes) -> bool:
        return not self._is_known(id_of_record(line))

    def _add(self, page: Sequence[LoggedRecord], source: _Source) -> None:
        for record in page:
            source.newest = max(source.newest, record.at_microseconds)
            event_id = record.event_id.lower()
            if not record.document:
                self._damaged += not record.erased
            elif not self._is_known(event_id) and not self._was_copied(event_id) and not is_forwarded(record.document):
                found = self._found.get(event_id)
                if found is None:
                    erased = self._erased.get(event_id, {})
                    found = _Found(record.document, record.at_microseconds, record.parts, dict(erased))
                    self._found[event_id] = found
                    heappush(self._order, (record.at_microseconds, event_id))
                found.add(record)

    def _was_copied(self, event_id: str) -> bool:
        """Whether the record is a later copy: its event is too old to be lost, or was yielded from another record."""
        return UUID(event_id).int >> 80 < self._since or event_id in self._yielded

    def _complete(self, sources: Sequence[_Source], headers: Mapping[str, str]) -> list[list[LostEvent]]:
        """Return, and forget, the events of which no further record can come."""
        open_sources = [each.newest for each in sources if not each.ended]
        horizon = min(open_sources) - self._spread if open_sources else None
        pages: list[list[LostEvent]] = []
        while self._order and (horizon is None or self._order[0][0] < horizon):
            _, event_id = heappop(self._order)
            found = self._found.pop(event_id)
            if self._is_known(event_id):
                continue
            self._yielded.add(event_id)
            if not pages or len(pages[-1]) == _PAGE:
                pages.append([])
            pages[-1].append(found.lost_event(event_id, headers))
        return pages


def unlisted_storages(scope: StorageScope, given: Sequence[Storage]) -> tuple[str, ...]:
    """Return the names of the storages whose payloads are found by their entries alone."""
    readable = {name: each for storage in given for name, each in storage.readable().items()}
    return tuple(sorted(name for name, storage in readable.items() if storage.record_log(scope) is None))


def record_logs(scope: StorageScope, storages: Mapping[str, Storage]) -> list[RecordLog]:
    """Return the records of the storages that can list what they have."""
    return [log for storage in storages.values() if (log := storage.record_log(scope)) is not None]
