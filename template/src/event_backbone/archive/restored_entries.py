"""Archived events become entries again, with the payloads that were beside the stream."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from event_backbone.archive.missing import INLINE
from event_backbone.archive.reading import read_metadata
from event_backbone.model import EventKey, HashWrite, Payload, PayloadReference
from event_backbone.storage import RedisHashStorage, Storage, StorageScope
from event_backbone.stream.redis.restoring import RestoredEntry
from event_backbone.wire import read_event_id
from event_backbone.wire.archived_event import ArchivedEvent, read_archived, read_archived_metadata
from event_backbone.wire.moving import with_references

_INLINE = b'"payload":[]'
_MISSING = b',"missing":{'


class RestoredEntries:
    """Makes entries of archived events, and counts the payloads that are nowhere any more."""

    def __init__(self, scope: StorageScope, storages: Mapping[str, Storage]) -> None:
        """Make entries of this stream, with the payloads of these storages."""
        self._scope = scope
        self._storages = {name: each for name, each in storages.items() if _is_beside_stream(each, scope)}
        self._names = [f'"{name}"'.encode() for name in self._storages]
        self._alone = [(f'"payload":["{name}"]'.encode(), storage) for name, storage in self._storages.items()]
        self.gone = 0

    def of(self, lines: Sequence[bytes]) -> list[RestoredEntry]:
        """Return the entries of these lines, except of events whose inline payload was erased, which have none either.

        Raises DecodeError as ``read_archived`` does.
        """
        entries = [self._entry(line) for line in lines]
        return [entry for entry in entries if entry is not None]

    def _entry(self, line: bytes) -> RestoredEntry | None:
        # What is neither inline nor beside the stream needs no payload: fast path, see decision 0010.
        if _INLINE not in line and _MISSING not in line and not any(name in line for name in self._names):
            return RestoredEntry(*read_archived_metadata(line, self._scope.stream))
        event = read_archived(line, self._scope.stream)
        if event.payload is not None and not event.missing:
            for written, storage in self._alone:  # of most events beside the stream: fast path, see decision 0010
                if written in event.document:
                    event_id = read_event_id(event.document)
                    reference = PayloadReference(storage.name, event_id, event_id)
                    write = storage.hash_beside_stream(self._scope, reference, event.payload)
                    return RestoredEntry(event.key, event.document, () if write is None else (write,))
        return self._with_payload(event)

    def _with_payload(self, event: ArchivedEvent) -> RestoredEntry | None:
        if INLINE in event.missing:
            return None
        _, references = read_metadata(event, self._scope.stream)
        if not references:
            return RestoredEntry(event.key, event.document, inline=event.payload or {})
        writes: list[HashWrite] = []
        for reference in references:
            storage = self._storages.get(reference.storage)
            if storage is None:
                if event.missing.get(reference.storage) == "erased" and len(references) == 1:
                    return self._erased(event)
                self.gone += event.missing.get(reference.storage) == "gone"
                continue
            payload, is_known = _copy(event, reference, is_whole=len(references) == 1)
            write = storage.hash_beside_stream(self._scope, reference, payload) if is_known else None
            if write is None:
                self.gone += 1
            else:
                writes.append(write)
        return RestoredEntry(event.key, event.document, tuple(writes))

    def _erased(self, event: ArchivedEvent) -> RestoredEntry:
        """Return the entry with a tombstone beside the stream: its storage may have had no part in the erasing.

        Of an event whose payload has moved since it was archived, the entry names the storage that it was in before.
        """
        own = self._storages.get(RedisHashStorage().name)
        event_id = read_event_id(event.document)
        reference = PayloadReference("" if own is None else own.name, event_id, event_id)
        write = None if own is None else own.hash_beside_stream(self._scope, reference, None)
        if write is None:
            return RestoredEntry(event.key, event.document)
        return RestoredEntry(event.key, with_references(event.document, [reference]), (write,))


def documents_of(lines: Sequence[bytes], scope: StorageScope, wanted: Collection[EventKey]) -> dict[EventKey, bytes]:
    """Return the metadata of the wanted events among these lines, by their keys."""
    if not wanted:
        return {}
    found = [read_archived_metadata(line, scope.stream) for line in lines]
    return {key: document for key, document in found if key in wanted}


def _is_beside_stream(storage: Storage, scope: StorageScope) -> bool:
    return storage.hash_beside_stream(scope, PayloadReference(storage.name, "", ""), None) is not None


def _copy(event: ArchivedEvent, reference: PayloadReference, *, is_whole: bool) -> tuple[Payload | None, bool]:
    """Return what the archive has of a part, None if it was erased, and whether it knows."""
    missing = event.missing.get(reference.storage)
    if missing is not None:
        return None, missing == "erased"
    if is_whole:
        return event.payload, event.payload is not None
    names = event.parts.get(reference.storage)
    if names is None or event.payload is None:
        return None, False
    return {name: event.payload[name] for name in names}, True
