"""Archived entries, and what a test of a restore looks at."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey, HashWrite, StreamName, new_event_id
from event_backbone.stream import NewEntry
from event_backbone.stream.redis.replies import entries_of
from event_backbone.stream.redis.restoring import LiveCopy, RedisRestoring, RestoredEntry
from event_backbone.stream.values import NOT_INLINE, Entry

KEEP = timedelta(minutes=1)
PAST = 1_700_000_000_000  # long before the server's clock, in milliseconds
AHEAD = 4_000_000_000_000  # long after it: live entries have lower ids, as on a server whose clock is behind


def metadata_of(event_id: UUID) -> bytes:
    """Return metadata as this package writes it."""
    return f'{{"id":"{event_id}","event":"packed","version":1,"at":0,"size":0,"payload":[]}}'.encode()


def live_entry(event_id: UUID | None = None, payload: dict[str, bytes] | None = None) -> NewEntry:
    """Return an entry to append, of a new event unless an event id is given."""
    event_id = event_id or new_event_id()
    return NewEntry(event_id, metadata_of(event_id), inline=payload or NOT_INLINE)


def archived_entry(milliseconds: int, *writes: HashWrite, payload: dict[str, bytes] | None = None) -> RestoredEntry:
    """Return an archived entry of a new event, with this time in its key."""
    return RestoredEntry(EventKey(milliseconds), metadata_of(new_event_id()), writes, payload or NOT_INLINE)


def archived_entries(count: int, since: int = PAST) -> list[RestoredEntry]:
    """Return archived entries with consecutive keys."""
    return [archived_entry(since + number) for number in range(count)]


def event_id_of(metadata: bytes) -> UUID:
    """Return the event id in metadata."""
    return UUID(metadata.decode().split('"')[3])


async def entries_in(connection: RedisConnection, key: str) -> list[Entry]:
    """Return the entries of a stream."""
    return entries_of(await connection.command("XRANGE", key, "-", "+"), 0)


async def events_in(connection: RedisConnection, key: str) -> list[tuple[EventKey, bytes]]:
    """Return the key and the metadata of each entry of a stream."""
    return [(entry.key, entry.fields[b"metadata"]) for entry in await entries_in(connection, key)]


@asynccontextmanager
async def restoring(connection: RedisConnection, name: StreamName) -> AsyncGenerator[RedisRestoring]:
    """A restore that has begun, and ends."""
    restore = RedisRestoring(connection, name)
    assert await restore.begin("token", KEEP)
    yield restore
    await restore.end()


async def restore_all(restore: RedisRestoring, entries: list[RestoredEntry]) -> LiveCopy | None:
    """Restore these archived entries, and all live ones."""
    await restore.add(entries)
    return await restore.swap(entries[-1].key, entries[0].key.predecessor())
