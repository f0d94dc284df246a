"""Erases the payload of one event, in every storage that has a part of it, or in one, and in the archive."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.errors import ArchiveUnreadable, ConfigurationError, EventNotFound
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.by_name import entry_location, storage_named
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import storage_missing
from event_backbone.storage.moved_copies import MovedCopies
from event_backbone.storage.parts import StorageNotGiven
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.migrating import rewritten_entry
from event_backbone.wire import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT, is_redriven, read_entry

if TYPE_CHECKING:
    from event_backbone.archive.archive_erasing import ArchiveErasing

_log = logging.getLogger("event_backbone")


async def erase_payload(
    stream: Stream,
    storages: Mapping[str, Storage],
    scope: StorageScope,
    archived: ArchiveErasing | None,
    key: EventKey,
    *,
    moved: MovedCopies,
    part: str | None = None,
) -> list[str]:
    """Erase an event's payload or one part of it, and return where that was; ``Backbone.erase`` has the guarantees."""
    found = await _found(stream, archived, key)
    if found is None:
        if part is None and await stream.erased([key]):
            return []
        raise EventNotFound(f"Stream {scope.stream.key} has no event {key}.")
    event_id, references, is_live = found
    wanted = [each for each in references if part in {None, each.storage}]
    if part is not None and not wanted:
        raise EventNotFound(_no_part(key, part, references))
    if not is_live and len(references) == 1:  # only whole payloads move
        wanted = [each for each in wanted if _is_given(storages, each, key)]
    parts = [(_given(storages, each.storage), each) for each in wanted]
    async with nullcontext() if archived is None else archived.erasing(key, part):
        calls = [_erase(storage, scope, reference) for storage, reference in parts]
        if part is None or len(references) == 1:  # only whole payloads move
            calls.append(_erase_moved(moved, archived, key, event_id, references))
        places = [place for some in await gather_all(calls) for place in some]
        if not references:  # the payload is in the entry itself, without which a second call would find no copies
            await stream.erase(key)
            places.insert(0, entry_location(scope.stream, key))
        if scope.redis is not None:
            await _erase_copies(stream, storages, scope, key, {*references})
    return places


async def _erase(storage: Storage, scope: StorageScope, reference: PayloadReference) -> list[str]:
    await storage.erase(scope, [reference])
    return [storage.location(scope, reference)]


async def _erase_moved(
    moved: MovedCopies,
    archived: ArchiveErasing | None,
    key: EventKey,
    event_id: UUID,
    references: tuple[PayloadReference, ...],
) -> list[str]:
    before: tuple[PayloadReference, ...] = ()
    if archived is not None and moved.in_records:
        with suppress(ArchiveUnreadable, ConfigurationError):  # raised when it is erased there
            before = await archived.references(key)
    return await moved.erase(key, event_id, {each.storage for each in references}, before)


async def _erase_copies(
    stream: Stream,
    storages: Mapping[str, Storage],
    scope: StorageScope,
    key: EventKey,
    known: set[PayloadReference],
) -> None:
    """Erase what a migration has copied meanwhile: where the entry did not refer to, when its references were read.

    Only whole payloads move, so if one part was meant, nothing has moved or all of it. What is being built is
    looked at first, as it may become the stream in between.
    """
    redis = scope.redis
    building = None if redis is None else await rewritten_entry(redis, scope.stream, key)
    for entry in (building, await stream.get(key)):
        if entry is None or is_redriven(entry.fields):
            continue
        references = read_entry(entry.fields, stream.name, key)[1]
        if not references and known:
            await stream.erase(key)
        for each in references:
            if each not in known:
                await _given(storages, each.storage).erase(scope, [each])


async def _found(
    stream: Stream, archived: ArchiveErasing | None, key: EventKey
) -> tuple[UUID, tuple[PayloadReference, ...], bool] | None:
    """Return the event's id, where its payload is by stream or archive, and whether that is the stream.

    None if neither has the event.
    """
    entry = await stream.get(key)
    fields = None if entry is None or is_redriven(entry.fields) else entry.fields
    is_live = fields is not None
    if fields is None and archived is not None and (found := await archived.find(key)) is not None:
        fields = {FORMAT_FIELD.encode(): WIRE_FORMAT, METADATA_FIELD.encode(): found.document}
    if fields is None:
        return None
    metadata, references = read_entry(fields, stream.name, key)
    return metadata.event_id, references, is_live


def _given(storages: Mapping[str, Storage], name: str) -> Storage:
    storage = storage_named(storages, name)
    if isinstance(storage, StorageNotGiven):
        raise storage_missing(name)
    return storage


def _is_given(storages: Mapping[str, Storage], reference: PayloadReference, key: EventKey) -> bool:
    """Whether a storage that the archive names is here; it may have been taken away since, and its copy is erased."""
    is_given = reference.storage in storages
    if not is_given:
        name = reference.storage
        _log.warning("Storage %r may still have the payload of event %s: it was not given to this program.", name, key)
    return is_given


def _no_part(key: EventKey, part: str, references: tuple[PayloadReference, ...]) -> str:
    names = " and ".join(repr(each.storage) for each in references)
    has = f"its payload is in {names}" if names else "its payload is in the stream itself"
    return f"Event {key} has no part in storage {part!r}; {has}."
