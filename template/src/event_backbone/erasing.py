"""Erases the payload of one event, in every storage that has a part of it, or in one."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.errors import EventNotFound
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.by_name import entry_location, storage_named
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import storage_missing
from event_backbone.storage.parts import StorageNotGiven
from event_backbone.stream.base import Stream
from event_backbone.wire import read_entry


async def erase_payload(
    stream: Stream, storages: Mapping[str, Storage], scope: StorageScope, key: EventKey, part: str | None = None
) -> list[str]:
    """Erase an event's payload or one part of it, and return where that was; ``Backbone.erase`` has the guarantees."""
    entry = await stream.get(key)
    if entry is None:
        if part is None and await stream.erased([key]):
            return []
        raise EventNotFound(f"Stream {scope.stream.key} has no event {key}.")
    _, references = read_entry(entry.fields, scope.stream, key)
    wanted = [each for each in references if part in {None, each.storage}]
    if part is not None and not wanted:
        raise EventNotFound(_no_part(key, part, references))
    if not references:  # the payload is in the entry itself
        await stream.erase(key)
        return [entry_location(scope.stream, key)]
    found = [(_given(storages, reference.storage), reference) for reference in wanted]
    await gather_all(storage.erase(scope, [reference]) for storage, reference in found)
    return [storage.location(scope, reference) for storage, reference in found]


def _given(storages: Mapping[str, Storage], name: str) -> Storage:
    storage = storage_named(storages, name)
    if isinstance(storage, StorageNotGiven):
        raise storage_missing(name)
    return storage


def _no_part(key: EventKey, part: str, references: tuple[PayloadReference, ...]) -> str:
    names = " and ".join(repr(each.storage) for each in references)
    has = f"its payload is in {names}" if names else "its payload is in the stream itself"
    return f"Event {key} has no part in storage {part!r}; {has}."
