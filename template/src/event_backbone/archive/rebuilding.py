"""Builds a stream from its archive and its live entries, beside the live one, and puts it into its place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from event_backbone.archive.follow_ups import FollowUps, FollowUpSearch, Unfinished
from event_backbone.archive.group_states import SavedDeadLetter, save_restored
from event_backbone.archive.history import History
from event_backbone.archive.keys import segment_key
from event_backbone.archive.known_events import KnownEvents
from event_backbone.archive.restore_report import OnProgress, RestoreLimits, RestoreProgress
from event_backbone.archive.restored_entries import RestoredEntries, documents_of
from event_backbone.archive.restored_part import RestoredGroup, RestoredPart, restored_groups, restored_part
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import SEGMENT_CONTENT_TYPE, pack_segment
from event_backbone.errors import ArchiveUnreadable
from event_backbone.model import EventKey
from event_backbone.storage import StorageScope
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.restoring import LiveCopy, RedisRestoring
from event_backbone.stream.values import DeadLetter, Entry
from event_backbone.wire import FORMAT_FIELD, METADATA_FIELD, WIRE_FORMAT
from event_backbone.wire.fields import (
    DEAD_LETTER_ATTEMPTS,
    DEAD_LETTER_DETAIL,
    DEAD_LETTER_ERROR,
    DEAD_LETTER_PLACE,
    DEAD_LETTER_REASON,
    DEAD_LETTER_REDRIVES,
)
from event_backbone.wire.segment_header import SegmentHeader

_PAGE = 100  # the server serves nobody else meanwhile, and few objects live at once


@dataclass(slots=True)
class Rebuilt:
    """What became of events and groups."""

    archived: int = 0
    gone: int = 0
    live: int = 0
    moved: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    restored_from: EventKey | None = None
    archive_only: int = 0
    groups: dict[str, EventKey] = field(default_factory=dict[str, EventKey])

    def add(self, copy: LiveCopy) -> None:
        """Add what became of live entries."""
        self.live += copy.copied
        self.moved += copy.moved
        self.duplicates += copy.skipped


class Rebuilding:
    """Restores the archived part of one stream. Producers and workers go on meanwhile.

    The live stream is replaced in one step at the end; whatever ends this before, nothing has changed.
    """

    def __init__(
        self,
        archive: S3Archive,
        history: History,
        scope: StorageScope,
        restoring: RedisRestoring,
        *,
        live: Stream,
        limits: RestoreLimits,
        search: FollowUpSearch,
        on_progress: OnProgress,
    ) -> None:
        """Restore within ``limits`` by ``restoring``, which has the lock; ``live`` is the live stream."""
        self._archive = archive
        self._history = history
        self._scope = scope
        self._restoring = restoring
        self._live = live
        self._limits = limits
        self._search = search
        self._on_progress = on_progress
        self.done = Rebuilt()

    async def run(
        self,
        last: SegmentHeader,
        known: KnownEvents,
        since: EventKey,
        remember_for: timedelta,
        entries: RestoredEntries,
    ) -> FollowUps:
        """Restore what there is up to ``last``, the last segment; return the follow-up events that were found.

        Of the events from ``since`` on, which ``known`` learns, producers that repeat a call get the archived key from
        now on, for ``remember_for`` at least.
        """
        fence = await self._fence(last)
        async with _Calls() as calls, aclosing(known.archived(self._history, since)) as pages:
            async for seen in pages:
                await calls.begin(partial(self._restoring.remember, seen, remember_for))
        now = datetime.now(UTC)
        groups = await restored_groups(self._archive, self._scope.stream, fence.follows, self._limits, now)
        part = await restored_part(groups, self._live, fence.follows, self._limits, now)
        follow_ups = await self._search.find(
            fence.follows,
            {each.state.name: part.unfinished(each) for each in groups},
            Unfinished(part.start.predecessor(), part.earlier),
        )
        documents = await self._add_archived(fence, part, entries, {key for each in groups for key in each.sources})
        await self._set_groups(groups, documents)
        for name in follow_ups.groups:
            await self._restoring.set_follow_ups(name, follow_ups.of_archived(name))
        await self._copy_live(fence, [each.state.name for each in groups if each.state.forgotten])
        known.read_after(fence.last)
        self.done.gone = entries.gone
        return follow_ups

    async def _fence(self, last: SegmentHeader) -> SegmentHeader:
        """End the archive with a segment that has no events, so that nobody commits what was read before the loss.

        Such an archiver finds its place taken, and reads on after the fence; what it had read is in the packs.
        """
        stream = self._scope.stream
        objects = await self._archive.objects(stream.environment)
        while last.events:
            fence = SegmentHeader(stream, last.last, last.follows, last.last.successor(), 0, last.total)
            key = segment_key(self._archive.options, stream, fence.follows)
            if await objects.create(key, pack_segment(fence, ()), content_type=SEGMENT_CONTENT_TYPE):
                return fence
            following = await self._history.header(last.last)
            if following is None:
                raise ArchiveUnreadable(f"The archive's segment {key} exists and cannot be found; look at the bucket.")
            last = following
        return last

    async def _add_archived(
        self, fence: SegmentHeader, part: RestoredPart, entries: RestoredEntries, wanted: set[EventKey]
    ) -> Mapping[EventKey, bytes]:
        """Add the archived events of this part; return the metadata of those that are wanted, by their keys."""
        documents: dict[EventKey, bytes] = {}
        total = fence.total - await part.before_start(self._history, fence.total) + len(part.earlier)
        async with _Calls() as calls, aclosing(part.lines(self._history)) as found:
            async for lines in found:
                for first in range(0, len(lines), _PAGE):
                    page = lines[first : first + _PAGE]
                    documents.update(documents_of(page, self._scope, wanted))
                    await calls.begin(partial(self._restoring.add, entries.of(page)))
                    self._report_archived(len(page), total)
        self.done.archive_only = fence.total - self.done.archived
        self.done.restored_from = part.start if self.done.archive_only else None
        return documents

    def _report_archived(self, events: int, total: int) -> None:
        self.done.archived += events
        self._on_progress(RestoreProgress("restoring archived events", self.done.archived, total))

    async def _set_groups(self, groups: Sequence[RestoredGroup], documents: Mapping[EventKey, bytes]) -> None:
        for group, saved in groups:
            letters = [_dead_letter(each, documents) for each in saved]
            await self._restoring.set_group(group.name, group.position, group.pending, letters)
            await save_restored(self._archive, self._scope.stream, group, letters)
            self.done.groups[group.name] = group.position
            self.done.dead_letters += len(letters)

    async def _copy_live(self, fence: SegmentHeader, forgotten: Sequence[str]) -> None:
        while True:
            copy = await self._restoring.copy_live(fence.last, _PAGE)
            self.done.add(copy)
            self._on_progress(RestoreProgress("copying live events", self.done.live))
            if copy.more:
                continue
            swapped = await self._restoring.swap(
                fence.last, fence.follows, self.done.restored_from, forgotten=forgotten
            )
            if swapped is not None:
                self.done.add(swapped)
                return


class _Calls:
    """Calls, one after the other; the next one is prepared while one is under way. Leaving waits for the last one."""

    def __init__(self) -> None:
        self._call: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._finish()

    async def begin(self, call: Callable[[], Coroutine[object, None, None]]) -> None:
        await self._finish()
        self._call = asyncio.create_task(call())
        await asyncio.sleep(0)

    async def _finish(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            await call


def _dead_letter(saved: SavedDeadLetter, documents: Mapping[EventKey, bytes]) -> DeadLetter:
    """Return a dead letter as it was; of an event that is not archived it has no fields, as of one that was deleted."""
    document, about = documents.get(saved.source), saved.about
    fields = {} if document is None else {FORMAT_FIELD.encode(): WIRE_FORMAT, METADATA_FIELD.encode(): document}
    return DeadLetter(
        id=saved.id,
        entry=Entry(saved.source, fields),
        reason=about.get(DEAD_LETTER_REASON, ""),
        detail=about.get(DEAD_LETTER_DETAIL, ""),
        error=about.get(DEAD_LETTER_ERROR, ""),
        place=tuple(about.get(DEAD_LETTER_PLACE, "").splitlines()),
        attempts=int(about.get(DEAD_LETTER_ATTEMPTS, "0")),
        failed_at=EventKey.parse(saved.id).time,
        redrives=int(about.get(DEAD_LETTER_REDRIVES, "0")),
    )
