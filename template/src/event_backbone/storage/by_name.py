"""Find storages by the names in payload references."""

from collections.abc import Mapping, Sequence

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey, StreamName
from event_backbone.storage.base import Storage, StorageScope
from event_backbone.storage.loading import storage_missing
from event_backbone.storage.redis_hash import RedisHashStorage


def storage_named(storages: Mapping[str, Storage], name: str) -> Storage:
    """Return a storage by its name; raise StorageMissing."""
    storage = storages.get(name)
    if storage is None:
        raise storage_missing(name)
    return storage


def entry_location(stream: StreamName, key: EventKey) -> str:
    """Return where an inline payload is, for people."""
    return f"in the entry {key} of stream {stream.key}"


def locations_of(event: StoredEvent, storages: Mapping[str, Storage], scope: StorageScope) -> list[str]:
    """Return where each part of an event's payload is, for people; raise StorageMissing."""
    if not event.references:
        return [entry_location(scope.stream, event.key)]
    return [storage_named(storages, each.storage).location(scope, each) for each in event.references]


def storages_by_name(storages: Sequence[Storage], *, beside_stream: bool) -> Mapping[str, Storage]:
    """Return every readable storage by its name; with ``beside_stream`` also the hashes on the stream's own Redis.

    Raises:
        ConfigurationError: two storages have the same name.
    """
    named: dict[str, Storage] = {}
    for storage in storages:
        for name, readable in storage.readable().items():
            if named.setdefault(name, readable) is not readable:
                raise ConfigurationError(f"Two storages are named {name!r}; give one of them another name=.")
    if beside_stream:
        own = RedisHashStorage()
        named.setdefault(own.name, own)
    return named
