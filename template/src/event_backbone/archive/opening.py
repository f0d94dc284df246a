"""Opens what works with the archive of one stream, wired together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING
from uuid import UUID

from event_backbone.archive.s3_archive import S3Archive
from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey, keys_near
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.base import Stream, Streams
from event_backbone.wire.keys import ARCHIVER_KEY

if TYPE_CHECKING:
    from event_backbone.archive.archive_erasing import ArchiveErasing
    from event_backbone.archive.archived_dead_letters import ArchivedDeadLetters
    from event_backbone.archive.archiver import Archiver
    from event_backbone.archive.cold_reads import ColdReads
    from event_backbone.archive.restore import Restore
    from event_backbone.archive.restore_report import RestoreLimits
    from event_backbone.archive.state import ArchiveState


def open_archiver(
    archive: S3Archive,
    scope: StorageScope,
    streams: Streams,
    storages: Mapping[str, Storage],
    copied: Collection[str],
) -> Archiver:
    """Return an archiver of a stream, which copies the payloads that are in the storages named in ``copied``."""
    from event_backbone.archive.archive_loop import ArchiveLoop  # noqa: PLC0415 - imports zstandard, as all below
    from event_backbone.archive.archiver import Archiver  # noqa: PLC0415
    from event_backbone.archive.copying import Copying  # noqa: PLC0415
    from event_backbone.archive.group_states import GroupStates  # noqa: PLC0415
    from event_backbone.archive.segment_writer import SegmentWriter  # noqa: PLC0415
    from event_backbone.stream.redis.archive_notes import ArchiveNotes  # noqa: PLC0415
    from event_backbone.stream.redis.group_snapshots import GroupSnapshots  # noqa: PLC0415
    from event_backbone.stream.redis.work_lock import WorkLock  # noqa: PLC0415

    redis, stream = redis_of(scope), scope.stream
    notes = ArchiveNotes(redis, stream)
    writer = SegmentWriter(archive, stream, notes, Copying(scope, storages, copied))
    groups = GroupStates(
        archive, stream, GroupSnapshots(redis, stream), lambda group: streams.group_admin(stream, group)
    )
    lock = WorkLock(redis, stream, ARCHIVER_KEY, token_hex(8))
    return Archiver(archive, streams.stream(stream), ArchiveLoop(archive, stream, notes, writer, groups, lock=lock))


def open_cold_reads(archive: S3Archive, scope: StorageScope) -> ColdReads:
    """Return what reads a stream's history in the archive."""
    from event_backbone.archive.cold_reads import ColdReads  # noqa: PLC0415
    from event_backbone.stream.redis.archive_notes import ArchiveNotes  # noqa: PLC0415

    return ColdReads(archive, ArchiveNotes(redis_of(scope), scope.stream), scope.stream)


async def find_event(
    archive: S3Archive | None, scope: StorageScope, stream: Stream, window: timedelta, event_id: UUID
) -> EventKey | None:
    """Return the key of the event with this id in ``stream``, or in its archive if it has left the stream; or None.

    It reads what was appended within ``window`` of the id's time, as ``Stream.find`` does. Without an archive an event
    that has left the stream is not found.

    Raises:
        StreamUnavailable, StorageUnavailable: Redis or S3 does not answer.
        ConfigurationError: S3 refuses.
        ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
    """
    found = await stream.find(event_id)
    if found is not None or archive is None:
        return found
    start, _, end = keys_near(event_id, window, scope.stream.partition)
    return await open_cold_reads(archive, scope).find(event_id, start, end)


def open_archived_dead_letters(
    archive: S3Archive | None, scope: StorageScope, storages: Mapping[str, Storage], group: str
) -> ArchivedDeadLetters | None:
    """Return what redrives and shows a group's dead letters from the archive; None without one."""
    if archive is None:
        return None
    from event_backbone.archive.archived_dead_letters import ArchivedDeadLetters  # noqa: PLC0415
    from event_backbone.stream.redis.admin import RedisGroupAdmin  # noqa: PLC0415

    admin = RedisGroupAdmin(redis_of(scope), scope.stream, group)
    return ArchivedDeadLetters(scope, storages, open_cold_reads(archive, scope), admin)


async def archive_state(archive: S3Archive, scope: StorageScope) -> ArchiveState:
    """Return the state of a stream's archive; raises as ``read_state`` does."""
    from event_backbone.archive.state import read_state  # noqa: PLC0415
    from event_backbone.stream.redis.archive_notes import ArchiveNotes  # noqa: PLC0415

    return await read_state(archive, ArchiveNotes(redis_of(scope), scope.stream), scope.stream)


def open_archive_erasing(archive: S3Archive | None, scope: StorageScope) -> ArchiveErasing | None:
    """Return what erases in the archive of a stream; None for a stream in memory.

    Without an ``archive``, as another process may have one, it notes what an archiver has to erase.
    """
    if scope.redis is None:
        return None
    from event_backbone.archive.archive_erasing import ArchiveErasing  # noqa: PLC0415
    from event_backbone.stream.redis.archive_notes import ArchiveNotes  # noqa: PLC0415

    return ArchiveErasing(archive, ArchiveNotes(scope.redis, scope.stream), scope.stream)


@asynccontextmanager
async def open_restore(
    archive: S3Archive | None,
    scope: StorageScope,
    storages: Mapping[str, Storage],
    given: Sequence[Storage],
    deduplicate_for: timedelta,
    *,
    follow_ups_in: Sequence[StorageScope],
    limits: RestoreLimits,
) -> AsyncGenerator[Restore]:
    """Open what restores a stream, on a connection that nobody else uses.

    ``storages`` are all that payloads may be in, ``given`` those that the program was given. What handlers have
    produced once is also searched for in ``follow_ups_in``. Events beyond ``limits`` stay in the archive alone.
    """
    from event_backbone.archive.restore import Restore  # noqa: PLC0415

    redis = RedisConnection(redis_of(scope).settings)
    try:
        yield Restore(
            archive,
            scope,
            redis,
            storages=storages,
            given=given,
            deduplicate_for=deduplicate_for,
            follow_ups_in=follow_ups_in,
            limits=limits,
        )
    finally:
        await redis.close()


def redis_of(scope: StorageScope) -> RedisConnection:
    """Return the stream's connection; raise ConfigurationError for a stream in memory."""
    if scope.redis is None:
        raise ConfigurationError("Streams in memory have no archive; use a backbone with Redis.")
    return scope.redis
