"""Takes the copies of what was erased out of archived events, in segments that exist and in lines yet to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.archive.history import History
from event_backbone.archive.keys import segment_key
from event_backbone.archive.missing import INLINE
from event_backbone.archive.reading import read_metadata
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import SEGMENT_CONTENT_TYPE, Segment, pack_segment, unpack_segment
from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import ArchiveUnreadable
from event_backbone.model import EventKey, StreamName
from event_backbone.wire.archived_event import key_of_archived, read_archived, write_archived

if TYPE_CHECKING:
    from event_backbone.stream.redis.archive_notes import ErasedPart

_BACKOFF = Backoff(first=timedelta(milliseconds=20), longest=timedelta(seconds=1), jitter=1)


def erase_lines(lines: Sequence[bytes], stream: StreamName, parts: Iterable[ErasedPart]) -> list[bytes]:
    """Return the lines without the copies of what was erased."""
    wanted = {key.entry_id.encode(): storages for key, storages in _by_key(parts).items()}
    if not wanted:
        return list(lines)
    found = [(line, wanted.get(key_of_archived(line))) for line in lines]
    return [line if storages is None else _erased(line, stream, storages) for line, storages in found]


async def erase_archived(
    archive: S3Archive, history: History, stream: StreamName, parts: Iterable[ErasedPart], known: EventKey | None
) -> frozenset[EventKey]:
    """Erase events in their segments; return those that are in one. Others are not archived (yet). May be repeated.

    ``known`` is what some segment follows, as for ``History.find``.

    Others that erase in the same segment at the same time lose nothing: a segment that has changed is read again.

    Raises:
        StorageUnavailable, ConfigurationError: S3 does not answer, or refuses; some may be erased.
        ArchiveUnreadable: a segment is damaged, or a later version wrote it.
    """
    by_segment: dict[EventKey, list[ErasedPart]] = {}
    found: Segment | None = None
    for part in sorted(parts, key=lambda each: each[0]):
        if found is None or found.header.last < part[0]:
            found = await history.find(part[0], known)
        if found is None:
            break
        by_segment.setdefault(found.header.follows, []).append(part)
    for follows, some in by_segment.items():
        try:
            await _rewrite(archive, stream, follows, some)
        finally:
            history.forget(follows)
    return frozenset(key for some in by_segment.values() for key, _ in some)


async def _rewrite(archive: S3Archive, stream: StreamName, follows: EventKey, parts: Sequence[ErasedPart]) -> None:
    key = segment_key(archive.options, stream, follows)
    objects, delays = await archive.objects(stream.environment), Delays(_BACKOFF)
    while True:
        version = await archive.read_version(stream.environment, key)
        if version is None:
            raise ArchiveUnreadable(f"The archive has no {key} any more; restore the object.")
        data, e_tag = version
        rewritten = await asyncio.to_thread(_without, data, key, stream, parts)
        if rewritten is None or await objects.replace(key, rewritten, e_tag, content_type=SEGMENT_CONTENT_TYPE):
            return
        await delays.wait()


def _without(data: bytes, key: str, stream: StreamName, parts: Iterable[ErasedPart]) -> bytes | None:
    """Return a segment's new bytes; None if there is nothing to erase in it."""
    segment = unpack_segment(data, key)
    before = segment.lines()
    lines = erase_lines(before, stream, parts)
    return None if lines == list(before) else pack_segment(segment.header, lines)


def _erased(line: bytes, stream: StreamName, storages: Iterable[str | None]) -> bytes:
    event = read_archived(line, stream)
    for storage in storages:
        if storage is not None:
            event = event.without([storage])
            continue
        _, references = read_metadata(event, stream)
        event = event.without([each.storage for each in references] or [INLINE])
    return write_archived(event, stream)


def _by_key(parts: Iterable[ErasedPart]) -> dict[EventKey, list[str | None]]:
    erased: dict[EventKey, list[str | None]] = {}
    for key, storage in parts:
        erased.setdefault(key, []).append(storage)
    return erased
