"""Deletes the hashes beside a stream that its events no longer refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from event_backbone.archive.opening import redis_of
from event_backbone.errors import ConfigurationError, EntryUnreadable, PayloadErased, RequirementUnknown, StorageError
from event_backbone.migration.references import references_of
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.hash_scripts import remove_hashes
from event_backbone.storage.loading import collect_references
from event_backbone.stream.base import Stream

_PAGE = 250


def check_removable(storage: Storage, target: Storage) -> None:
    """Raise ConfigurationError unless the storage keeps its payloads in hashes that nobody else has."""
    places = [each for each in storage.hash_places() if each.storage == storage.name and each.elsewhere is None]
    if not places:
        raise ConfigurationError(
            f"Storage {storage.name!r} keeps no hashes beside the stream, so nothing is removed from it; in S3 a "
            "lifecycle rule removes what is old."
        )
    if {each.purpose for each in places} & {each.purpose for each in target.hash_places()}:
        raise ConfigurationError(
            f"The hashes of storage {storage.name!r} have the same keys as the cache of {target.name!r}; give the "
            "cache another name=, or leave them to retention."
        )


async def remove_moved(
    scope: StorageScope, stream: Stream, storages: Mapping[str, Storage], away_from: str, target: Storage
) -> int:
    """Delete the old hashes of all events whose payload is in ``target`` and can be loaded there; return how many."""
    removed, redis, old = 0, redis_of(scope), storages[away_from]
    position: EventKey | None = None
    while entries := await stream.range(None if position is None else position.successor(), None, _PAGE):
        position = entries[-1].key
        moved: list[PayloadReference] = []
        for entry in entries:
            try:
                references, _ = references_of(entry)
            except (EntryUnreadable, RequirementUnknown):
                continue
            moved += [each for each in references if each.storage == target.name]
        contents = await collect_references(scope, target, moved) if moved else []
        keys = [
            old.location(scope, PayloadReference(away_from, each.event_id, each.event_id))
            for each, content in zip(moved, contents, strict=True)
            if not isinstance(content, StorageError) or isinstance(content, PayloadErased)
        ]
        with redis.errors():
            removed += await remove_hashes(redis, keys)
    return removed


async def remove_unnamed(scope: StorageScope, storage: Storage, moved: Sequence[PayloadReference]) -> None:
    """Delete old hashes that are not named by the ids of their events: nobody could find them later, to erase them."""
    for place in storage.hash_places():
        if place.storage == storage.name and place.elsewhere is not None:
            await place.elsewhere.remove(scope, moved)
        elif place.storage == storage.name:
            redis = redis_of(scope)
            with redis.errors():
                await remove_hashes(redis, [scope.stream.key_of(f"{place.purpose}:{each.key}") for each in moved])
