"""Erases the payload of one event, in every storage that has a part of it."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.errors import EventNotFound
from event_backbone.model import EventKey
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.by_name import storage_named
from event_backbone.storage.gather import gather_all
from event_backbone.stream.base import Stream
from event_backbone.wire import read_entry


async def erase_payload(stream: Stream, storages: Mapping[str, Storage], scope: StorageScope, key: EventKey) -> None:
    """Erase an event's payload; ``Backbone.erase`` has the guarantees."""
    entry = await stream.get(key)
    if entry is None:
        if await stream.erased([key]):
            return
        raise EventNotFound(f"Stream {scope.stream.key} has no event {key}.")
    _, references = read_entry(entry.fields, scope.stream, key)
    if not references:  # the payload is in the entry itself
        await stream.erase(key)
        return
    found = [(storage_named(storages, reference.storage), reference) for reference in references]
    await gather_all(storage.erase(scope, [reference]) for storage, reference in found)
