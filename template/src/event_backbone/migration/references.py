"""What refers to a storage: entries of a stream, and dead letters of its groups."""

from __future__ import annotations

from collections.abc import Sequence

from event_backbone.archive.opening import redis_of
from event_backbone.errors import EntryUnreadable, RequirementUnknown
from event_backbone.migration.report import StillThere
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
    try:
        references, _ = references_of(entry)
    except (EntryUnreadable, RequirementUnknown):
        return False
    return any(each.storage == storage for each in references)


async def count_references(scope: StorageScope, stream: Stream, storage: str) -> StillThere:
    """Count what refers to this storage; raise StreamUnavailable when Redis does not answer."""
    events = letters = elsewhere = 0
    position: EventKey | None = None
    while entries := await stream.range(None if position is None else position.successor(), None, _PAGE):
        found = [entry for entry in entries if waits_elsewhere(entry, storage)]
        redriven = sum(is_redriven(entry.fields) for entry in found)
        events, elsewhere = events + len(found) - redriven, elsewhere + redriven
        position = entries[-1].key
    for group in await stream.groups():
        after = "0-0"
        while page := await raw_dead_letters(redis_of(scope), scope.stream, group.name, after, _PAGE):
            for letter, source in page:
                if waits_elsewhere(letter, storage):
                    in_stream = await stream.get(source) is not None
                    letters, elsewhere = letters + in_stream, elsewhere + (not in_stream)
            after = page[-1][0].key.entry_id
    return StillThere(events, letters, elsewhere)
