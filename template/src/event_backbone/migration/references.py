"""What refers to a storage: entries of a stream, and dead letters of its groups."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from event_backbone.archive.opening import redis_of
from event_backbone.errors import EntryUnreadable, RequirementUnknown
from event_backbone.migration.report import StorageReferences
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import StorageScope
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.migrating import raw_dead_letters
from event_backbone.stream.values import Entry
from event_backbone.wire import is_redriven, read_redriven, read_references

_PAGE = 1000


def references_of(entry: Entry) -> tuple[Sequence[PayloadReference], int]:
    """Return where the payload of an entry is, a redriven one's too, and its size in bytes.

    Raises EntryUnreadable and RequirementUnknown.
    """
    redriven = read_redriven(entry.fields, entry.key.partition) if is_redriven(entry.fields) else None
    fields = entry.fields if redriven is None else redriven.fields
    return read_references(fields, entry.key)


def waits_elsewhere(entry: Entry, storage: str) -> bool:
    """Whether an entry or dead letter refers to this storage; what cannot be read does not."""
    return storage in _names(entry)


async def count_references(scope: StorageScope, stream: Stream) -> dict[str, StorageReferences]:
    """Count what refers to each storage, by its name; raise StreamUnavailable when Redis does not answer."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    position: EventKey | None = None
    while entries := await stream.range(None if position is None else position.successor(), None, _PAGE):
        for entry in entries:
            for storage in _names(entry):
                counts[storage]["elsewhere" if is_redriven(entry.fields) else "events"] += 1
        position = entries[-1].key
    for group in await stream.groups():
        after = "0-0"
        while page := await raw_dead_letters(redis_of(scope), scope.stream, group.name, after, _PAGE):
            for letter, source in page:
                names = _names(letter)
                in_stream = bool(names) and await stream.get(source) is not None
                for storage in names:
                    counts[storage]["dead_letters" if in_stream else "elsewhere"] += 1
            after = page[-1][0].key.entry_id
    return {
        name: StorageReferences(each["events"], each["dead_letters"], each["elsewhere"])
        for name, each in counts.items()
    }


def _names(entry: Entry) -> set[str]:
    """Return the names of the storages that an entry or dead letter refers to; none if it cannot be read."""
    try:
        references, _ = references_of(entry)
    except (EntryUnreadable, RequirementUnknown):
        return set()
    return {each.storage for each in references}
