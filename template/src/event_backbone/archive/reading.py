"""Archived events become stored events: with the payload that the archive has, or that its storage still has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from event_backbone.archive.missing import INLINE, error_of
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import StorageError
from event_backbone.model import Metadata, Payload, PayloadReference, StreamName
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_references, merged_payload
from event_backbone.stream.values import NOT_INLINE
from event_backbone.wire import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT, read_entry
from event_backbone.wire.archived_event import ArchivedEvent

_FORMAT, _METADATA = FORMAT_FIELD.encode(), METADATA_FIELD.encode()


def read_metadata(event: ArchivedEvent, stream: StreamName) -> tuple[Metadata, tuple[PayloadReference, ...]]:
    """Return an archived event's metadata and references. Raises as ``read_entry`` does."""
    return read_entry({_FORMAT: WIRE_FORMAT, _METADATA: event.document}, stream, event.key)


async def stored_events(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    events: Sequence[ArchivedEvent],
    segment: str,
    needs: Callable[[Metadata], bool] | None = None,
) -> list[StoredEvent]:
    """Return the events as a reader gives them out; ``segment`` says where they were read.

    What the archive did not copy is loaded from where it is. With ``needs``, other events get an empty payload.

    Raises:
        StorageUnavailable: a payload is in a storage that does not answer; StorageMissing: that was not given.
        EntryUnreadable, RequirementUnknown: as ``read_entry`` does.
    """
    read = [(event, *read_metadata(event, scope.stream)) for event in events]
    needed = [needs is None or needs(metadata) for _, metadata, _ in read]
    elsewhere = [
        reference
        for (event, _, references), is_needed in zip(read, needed, strict=True)
        if is_needed
        for reference in references
        if not _is_known(event, reference)
    ]
    loaded: Mapping[PayloadReference, Payload | StorageError] = {}
    if elsewhere:
        found = await collect_available_references(scope, storages, elsewhere)
        loaded = dict(zip(elsewhere, found, strict=True))
    return [
        StoredEvent(metadata, _content(event, references, loaded) if is_needed else NOT_INLINE, references, segment)
        for (event, metadata, references), is_needed in zip(read, needed, strict=True)
    ]


def _is_known(event: ArchivedEvent, reference: PayloadReference) -> bool:
    """Return whether the archive itself says what became of this part."""
    if reference.storage in event.missing or reference.storage in event.parts:
        return True
    return event.payload is not None and not event.parts


def _content(
    event: ArchivedEvent,
    references: tuple[PayloadReference, ...],
    loaded: Mapping[PayloadReference, Payload | StorageError],
) -> Payload | StorageError:
    if event.payload is not None and not event.parts and not event.missing:
        return event.payload  # of nearly every event
    if not references:
        return error_of(event.missing.get(INLINE, "gone"), event.key)
    parts: list[Payload | StorageError] = []
    for reference in references:
        name = reference.storage
        if name in event.missing:
            parts.append(error_of(event.missing[name], event.key))
        elif name in event.parts:
            parts.append({each: (event.payload or {})[each] for each in event.parts[name]})
        else:
            parts.append(loaded[reference])
    return merged_payload([each.storage for each in references], parts)
