"""Payloads that are nowhere else are read from the archive.

Their storages have lost them, as packs that a lifecycle rule removed, or are not given any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from event_backbone.archive.cold_reads import ColdReads
from event_backbone.archive.reading import stored_events
from event_backbone.errors import (
    ArchiveUnreadable,
    ConfigurationError,
    StorageError,
    StorageMissing,
    StorageUnavailable,
)
from event_backbone.model import EventKey, Payload, PayloadReference
from event_backbone.storage.base import OnPayloads, Storage, StorageScope
from event_backbone.storage.loading import is_gone, load_event_payloads

_Loaded = Payload | StorageError

_log = logging.getLogger("event_backbone")


async def load_with_archive(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    cold: ColdReads | None,
    events: Sequence[tuple[EventKey, tuple[PayloadReference, ...]]],
    on_payloads: OnPayloads,
) -> None:
    """Do what ``load_event_payloads`` does, and look for what is gone in the archive, if there is one.

    So it does for what is in a storage that was not given. ``events`` are keys with the references of their events.
    What is in neither is gone, or its storage missing, as without an archive.
    """
    references = [each for _, each in events]
    if cold is None:
        await load_event_payloads(scope, storages, references, on_payloads)
        return
    gone: list[tuple[int, _Loaded]] = []

    def on_loaded(results: Iterable[tuple[int, _Loaded]]) -> None:
        there: list[tuple[int, _Loaded]] = []
        for result in results:
            (gone if is_gone(result[1]) or isinstance(result[1], StorageMissing) else there).append(result)
        if there:
            on_payloads(there)

    await load_event_payloads(scope, storages, references, on_loaded)
    for position, payload in gone:
        on_payloads([(position, await _archived(scope, storages, cold, events[position][0], payload))])


async def collect_with_archive(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    cold: ColdReads | None,
    events: Sequence[tuple[EventKey, tuple[PayloadReference, ...]]],
) -> list[_Loaded]:
    """Return each event's payload or error, in order; raise StorageUnavailable if a storage did not answer."""
    found: dict[int, _Loaded] = {}
    await load_with_archive(scope, storages, cold, events, found.update)
    for content in found.values():
        if isinstance(content, StorageUnavailable):
            raise content
    return [found[position] for position in range(len(events))]


async def _archived(
    scope: StorageScope, storages: Mapping[str, Storage], cold: ColdReads, key: EventKey, payload: _Loaded
) -> _Loaded:
    """Return an event's payload as the archive has it; what was loaded if it has none, or cannot be read."""
    try:
        page = await cold.get(key)
        if page is None:
            return payload
        (event,) = await stored_events(scope, storages, page.events, page.segment)
    except StorageUnavailable as error:
        return error
    except (ArchiveUnreadable, ConfigurationError) as error:
        _log.warning("The payload of event %s is gone, and cannot be read from the archive: %s", key, error)
        return payload
    return event.content
