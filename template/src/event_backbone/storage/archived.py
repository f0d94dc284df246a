"""Which payloads an archive copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from event_backbone.storage.base import Storage
from event_backbone.storage.redis_hash import RedisHashStorage
from event_backbone.storage.split import SplitStorage


def archived_storages(given: Sequence[Storage], *, beside_stream: bool) -> frozenset[str]:
    """Return the names of the storages whose payloads an archive copies.

    With ``beside_stream`` the hashes on the stream's own Redis are among them, unless a storage of that name is given.
    ``Storage.archive`` says how a storage decides.
    """
    decided = [found for storage in given for found in _decide(storage, is_default=True)]
    own = RedisHashStorage().name
    if beside_stream and own not in {name for name, _ in decided}:
        decided.append((own, True))
    return frozenset(name for name, is_archived in decided if is_archived)


def _decide(storage: Storage, *, is_default: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(storage, SplitStorage):
        for part in storage.parts:
            yield from _decide(part, is_default=is_default and part is storage.parts[0])
    else:
        yield storage.name, is_default if storage.archive is None else storage.archive
