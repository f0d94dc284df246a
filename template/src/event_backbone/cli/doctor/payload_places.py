"""Which payloads are in Redis only, and go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, SplitStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_backbone.backbone import Backbone
    from event_backbone.storage import Storage


class PayloadPlaces(NamedTuple):
    """The names of the storages in Redis, those of them that no archive copies, and whether there are no others."""

    in_redis: list[str]
    not_archived: list[str]
    all_in_redis: bool


def payload_places(backbone: Backbone, *, archived: bool) -> PayloadPlaces:
    """Look at the storages that a backbone writes to; without an archive, nothing is ``archived``."""
    parts = list(_parts(backbone.storage))
    in_redis = sorted({each.name for each in parts if isinstance(each, RedisHashStorage)})
    copied = backbone.archived_storages if archived else frozenset[str]()
    return PayloadPlaces(in_redis, [each for each in in_redis if each not in copied], len(in_redis) == len(parts))


def _parts(storage: Storage) -> Iterator[Storage]:
    """Yield the storages that have payloads, each a part of them if there are several; a cache is none of them."""
    if isinstance(storage, SplitStorage):
        for part in storage.parts:
            yield from _parts(part)
    elif isinstance(storage, CachedStorage):
        yield from _parts(storage.origin)
    elif not isinstance(storage, MemoryStorage):
        yield storage
