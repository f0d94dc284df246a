"""The history of one stream: its segments, in order. Each names the one that it follows, so they are found by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from time import monotonic

from event_backbone.archive.keys import archive_prefix, followed_by, segment_key
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import HEADER_BYTES, Segment, unpack_header, unpack_segment
from event_backbone.errors import ArchiveUnreadable
from event_backbone.model import EventKey, StreamName
from event_backbone.wire.segment_header import SegmentHeader

_KEPT = timedelta(seconds=60).total_seconds()  # for so long, erasing by another process may go unnoticed
_MOST_KEPT = 2


class History:
    """Reads the segments of a stream. Nothing is written.

    All methods raise StorageUnavailable when S3 does not answer, ConfigurationError when it refuses, and
    ArchiveUnreadable for a segment that is damaged, or that a later version wrote.
    """

    def __init__(self, archive: S3Archive, stream: StreamName) -> None:
        """Read the history of this stream."""
        self._archive = archive
        self._stream = stream
        self._beginning = EventKey(0, 0, stream.partition)
        self._kept: dict[EventKey, tuple[float, Segment]] = {}

    async def header(self, follows: EventKey) -> SegmentHeader | None:
        """Return the header of the segment that follows this key; None if there is none. One request."""
        key = self._key(follows)
        data = await self._archive.read_range(self._stream.environment, key, 0, HEADER_BYTES)
        if data is None:
            return None
        header = unpack_header(data, key)
        if header is None:
            found = await self.segment(follows)
            return None if found is None else found.header
        return self._ours(header, follows)

    async def segment(self, follows: EventKey) -> Segment | None:
        """Return the segment that follows this key; None if there is none. One request, or none within a minute."""
        kept_at, segment = self._kept.get(follows, (0.0, None))
        if segment is not None and monotonic() - kept_at < _KEPT:
            return segment
        key, read_at = self._key(follows), monotonic()
        data = await self._archive.read(self._stream.environment, key)
        if data is None:
            return None
        segment = await asyncio.to_thread(unpack_segment, data, key)
        self._ours(segment.header, follows)
        self._keep(follows, read_at, segment)
        return segment

    def forget(self, follows: EventKey) -> None:
        """Read the segment that follows this key again, as it has changed."""
        self._kept.pop(follows, None)

    async def last(self, known: EventKey | None = None) -> SegmentHeader | None:
        """Return the header of the last segment; None if there is no segment.

        ``known`` is what some segment follows, at best the last one: then two requests are enough. Without it the
        folders are listed.

        Raises:
            ArchiveUnreadable: there is no segment that follows ``known``.
        """
        first = await self._last_listed() if known is None else known
        if first is None:
            return None
        header = await self._known_header(first)
        while (following := await self.header(header.last)) is not None:
            header = following
        return header

    async def find(self, key: EventKey, known: EventKey | None = None) -> Segment | None:
        """Return the segment that has, or would have, the event with this key; None if it is not archived (yet).

        ``known`` is what some segment follows, at best the last one: then three requests are enough. Without it the
        folders are listed when the event is in the last segment.

        Raises:
            ArchiveUnreadable: the segment is not there any more, or none that follows ``known`` is.
        """
        follows = known
        if known is None or key <= known:
            after = await self._next_listed(key)
            if after is not None:
                previous = (await self._known_header(after)).previous
                return None if previous is None else await self._known_segment(previous)
            follows = await self._last_listed()
        header = None if follows is None else await self._known_header(follows)
        while header is not None and header.last < key:
            header = await self.header(header.last)
        return None if header is None else await self._known_segment(header.follows)

    async def segments(
        self, after: EventKey | None = None, *, known: EventKey | None = None, until: EventKey | None = None
    ) -> AsyncGenerator[Segment, None]:
        """Yield the segments in order, from the one that has, or would have, the first event after this key.

        The next one is read while one is worked on. ``known`` is what some segment follows, as for ``find``.

        Raises:
            ArchiveUnreadable: they end before ``until``, up to which there must be segments.
        """
        follows = self._beginning
        if after is not None and after > follows:
            first = await self.find(after.successor(), known)
            if first is None:
                return
            follows = first.header.follows
        reading = asyncio.create_task(self.segment(follows))
        try:
            while (segment := await reading) is not None:
                follows = segment.header.last
                reading = asyncio.create_task(self.segment(follows))
                yield segment
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if until is not None and follows < until:
            raise self._missing(follows)

    async def _next_listed(self, key: EventKey) -> EventKey | None:
        """Return what the first segment follows that follows this key or a later one."""
        if key <= self._beginning:
            return None
        objects = await self._archive.objects(self._stream.environment)
        listing = objects.list_keys(self._prefix, after=self._key(key.predecessor()))
        async with aclosing(listing) as pages:
            async for page in pages:
                for each in page:
                    follows = followed_by(self._archive.options, self._stream, each)
                    if follows is not None:
                        return follows
                    if each > f"{self._prefix}:":  # beyond the folders of all years
                        return None
        return None

    async def _known_header(self, follows: EventKey) -> SegmentHeader:
        header = await self.header(follows)
        if header is None:
            raise self._missing(follows)
        return header

    async def _known_segment(self, follows: EventKey) -> Segment:
        segment = await self.segment(follows)
        if segment is None:
            raise self._missing(follows)
        return segment

    def _missing(self, follows: EventKey) -> ArchiveUnreadable:
        return ArchiveUnreadable(
            f"The archive of stream {self._stream.key} has no {self._key(follows)} any more; restore the object."
        )

    async def _last_listed(self) -> EventKey | None:
        """Return what the last segment follows, by the dated folders."""
        return await self._last_below(self._prefix, (4, 2, 2))

    async def _last_below(self, prefix: str, digits: tuple[int, ...]) -> EventKey | None:
        objects = await self._archive.objects(self._stream.environment)
        if not digits:
            found: EventKey | None = None
            async with aclosing(objects.list_keys(prefix)) as pages:
                async for page in pages:
                    listed = [followed_by(self._archive.options, self._stream, each) for each in page]
                    found = max([each for each in (found, *listed) if each is not None], default=None)
            return found
        folders = [each for each in await objects.list_folders(prefix) if each.isdigit() and len(each) == digits[0]]
        for folder in sorted(folders, reverse=True):  # a folder may be another URI's
            found = await self._last_below(f"{prefix}{folder}/", digits[1:])
            if found is not None:
                return found
        return None

    @property
    def _prefix(self) -> str:
        return archive_prefix(self._archive.options, self._stream)

    def _key(self, follows: EventKey) -> str:
        return segment_key(self._archive.options, self._stream, follows)

    def _ours(self, header: SegmentHeader, follows: EventKey) -> SegmentHeader:
        if header.stream != self._stream or header.follows != follows or header.last <= follows:
            key = self._key(follows)
            raise ArchiveUnreadable(
                f"The archive's segment {key} is not the one that its name says; restore the object."
            )
        return header

    def _keep(self, follows: EventKey, read_at: float, segment: Segment) -> None:
        self._kept[follows] = read_at, segment
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
