"""``Restore``: brings back to Redis what archive and packs have, while producers and workers go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic

from event_backbone.archive.appending import Appending
from event_backbone.archive.follow_ups import EventSources, FollowUps, FollowUpSearch, Unfinished, earlier, time_of
from event_backbone.archive.group_states import read_groups
from event_backbone.archive.history import History
from event_backbone.archive.known_events import KnownEvents
from event_backbone.archive.losses import has_lost_events, read_end
from event_backbone.archive.rebuilding import Rebuilding, Rebuilt
from event_backbone.archive.recovering import LostEvents, record_logs, unlisted_storages
from event_backbone.archive.restore_lock import LOCKED_FOR, locked
from event_backbone.archive.restore_report import (
    OnProgress,
    RestoreLimits,
    RestorePlan,
    RestoreProgress,
    RestoreReport,
)
from event_backbone.archive.restored_entries import RestoredEntries
from event_backbone.archive.restored_part import restored_groups, restored_part
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.unfinished import UnfinishedRestore
from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.redis.restoring import RedisRestoring
from event_backbone.stream.redis.stream import RedisStream
from event_backbone.wire.fields import EPOCH
from event_backbone.wire.segment_header import SegmentHeader

_MILLISECOND = timedelta(milliseconds=1)
_CLOCKS_DIFFER_BY = timedelta(minutes=5)


class Restore:
    """Restores one stream. It may be run again at any time, whatever ended it, and does what is left to do.

    If Redis has lost events that the archive has, the stream is built from the archive and its live entries, with
    the groups as the archive has them. Then the events are appended that only packs have, under new keys.
    """

    def __init__(
        self,
        archive: S3Archive | None,
        scope: StorageScope,
        redis: RedisConnection,
        *,
        storages: Mapping[str, Storage],
        given: Sequence[Storage],
        deduplicate_for: timedelta,
        follow_ups_in: Sequence[StorageScope],
        limits: RestoreLimits,
    ) -> None:
        """Restore over ``redis``, a connection that nobody else uses, as messages are large.

        What handlers have produced once is searched for in the stream itself and in ``follow_ups_in``.
        """
        self._archive = archive
        self._scope = scope
        self._redis = redis
        self._storages = storages
        self._given = given
        self._deduplicate_for = deduplicate_for
        self._limits = limits
        self._spread = deduplicate_for + _CLOCKS_DIFFER_BY
        own = self._sources(scope)
        self._stream, self._history = own.stream, own.history
        self._unfinished = None if archive is None else UnfinishedRestore(archive, scope.stream)
        self._search = FollowUpSearch(own, [self._sources(each) for each in follow_ups_in], self._spread)

    async def plan(self, since: datetime | None) -> RestorePlan:
        """Return what ``run`` would do now. Nothing is changed.

        Packs are searched from shortly before the end of the archive, or from ``since`` if that is earlier.

        Raises:
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer.
            ConfigurationError: S3 refuses, or is another environment's.
            ArchiveUnreadable: a part of the archive is damaged, or a later version wrote it.
        """
        survey = await self._survey(since)
        known = KnownEvents(self._scope, self._stream)
        await self._learn_archived(known, survey)
        await known.read_on(survey.known_from)
        events = self._lost_events(known)
        async with aclosing(events.pages(time_of(survey.packs_from), datetime.now(UTC))) as pages:
            only_in_packs = sum([len(page) async for page in pages])
        groups = [] if self._archive is None else await read_groups(self._archive, self._scope.stream)
        restored_from, archive_only = await self._archive_only(survey)
        return RestorePlan(
            uri=self._scope.stream.uri,
            archived=None if self._archive is None else 0 if survey.last is None else survey.last.total,
            committed=None if survey.last is None else survey.last.last,
            events_lost=survey.events_lost,
            live=await self._stream.length(),
            lost=only_in_packs,
            groups={each.name: each.position for each in groups},
            unlisted=unlisted_storages(self._scope, self._given),
            restored_from=restored_from,
            archive_only=archive_only,
        )

    async def run(self, since: datetime | None, on_progress: OnProgress) -> RestoreReport:
        """Restore what is lost, and return what was done. It raises what ``plan`` does.

        Raises:
            StreamError: another restore of this stream is under way.
        """
        began = monotonic()
        restoring = RedisRestoring(self._redis, self._scope.stream)
        async with locked(restoring, self._scope.stream):
            return await self._run(restoring, await self._survey(since), on_progress, began)

    async def _run(
        self, restoring: RedisRestoring, survey: _Survey, on_progress: OnProgress, began: float
    ) -> RestoreReport:
        if self._unfinished is not None:
            await self._unfinished.write(survey.follows)
        known = KnownEvents(self._scope, self._stream)
        done, follow_ups = await self._rebuild(restoring, survey, known, on_progress)
        await known.read_on(survey.known_from)
        appending = Appending(self._scope, self._storages, self._redis, known, follow_ups)
        events = self._lost_events(known)
        async with aclosing(events.pages(time_of(survey.packs_from), datetime.now(UTC))) as pages:
            async for page in pages:
                # Raises once the lock is another restore's, as after this process stood still: both would append.
                await restoring.renew(LOCKED_FOR)
                await appending.append(page, survey.known_from, self._deduplicate_for)
                on_progress(RestoreProgress("appending lost events", appending.appended))
        if self._unfinished is not None:
            await self._unfinished.write(None)
        return RestoreReport(
            uri=self._scope.stream.uri,
            archived=done.archived,
            live=done.live,
            moved=done.moved,
            duplicates=done.duplicates,
            appended=appending.appended,
            gone=done.gone + appending.gone,
            damaged=events.damaged,
            groups=done.groups,
            dead_letters=done.dead_letters,
            restored_from=done.restored_from,
            archive_only=done.archive_only,
            took=timedelta(seconds=monotonic() - began),
        )

    async def _rebuild(
        self, restoring: RedisRestoring, survey: _Survey, known: KnownEvents, on_progress: OnProgress
    ) -> tuple[Rebuilt, FollowUps]:
        """Build the stream from the archive, if Redis has lost events that it has; learn the archived events."""
        if self._archive is None or self._history is None or survey.last is None or not survey.events_lost:
            await self._learn_archived(known, survey)
            return Rebuilt(), await self._search.find(survey.follows, {}, Unfinished(survey.follows, ()))
        rebuilding = Rebuilding(
            self._archive,
            self._history,
            self._scope,
            restoring,
            live=self._stream,
            limits=self._limits,
            search=self._search,
            on_progress=on_progress,
        )
        entries = RestoredEntries(self._scope, self._storages)
        follow_ups = await rebuilding.run(survey.last, known, survey.known_from, self._deduplicate_for, entries)
        return rebuilding.done, follow_ups

    async def _archive_only(self, survey: _Survey) -> tuple[EventKey | None, int]:
        """Return from which key on archived events would be restored, None: all, and how many would not be."""
        last = survey.last
        if self._archive is None or self._history is None or last is None or not survey.events_lost:
            return None, 0
        now, until = datetime.now(UTC), last.last if last.events else last.follows
        groups = await restored_groups(self._archive, self._scope.stream, until, self._limits, now)
        part = await restored_part(groups, self._stream, until, self._limits, now)
        archive_only = await part.archive_only(self._history, last.total)
        return part.start if archive_only else None, archive_only

    async def _survey(self, since: datetime | None) -> _Survey:
        """Find out where the archive ends, and what Redis has lost of it."""
        if since is not None and since.tzinfo is None:
            raise ConfigurationError(
                "since needs a time zone; use datetime.now(UTC) - timedelta(hours=1), for example."
            )
        if self._archive is None or self._history is None or self._unfinished is None:
            return _Survey(None, EventKey(0, 0, self._scope.stream.partition), self._spread, events_lost=False)
        await self._archive.check(self._scope.stream.environment)
        note, last = await read_end(ArchiveNotes(self._redis, self._scope.stream), self._history)
        end = EventKey(0, 0, self._scope.stream.partition) if last is None else last.last
        unfinished = await self._unfinished.read()
        follows = end if unfinished is None else min(end, unfinished)
        if since is not None:
            follows = min(follows, EventKey(max(0, (since - EPOCH) // _MILLISECOND), 0, end.partition))
        return _Survey(last, follows, self._spread, events_lost=has_lost_events(note, last))

    async def _learn_archived(self, known: KnownEvents, survey: _Survey) -> None:
        if self._history is not None and survey.last is not None:
            async with aclosing(known.archived(self._history, survey.known_from)) as pages:
                async for _ in pages:
                    pass

    def _sources(self, scope: StorageScope) -> EventSources:
        history = None if self._archive is None else History(self._archive, scope.stream)
        stream = RedisStream(self._redis, scope.stream, self._deduplicate_for)
        return EventSources(scope.stream, history, stream, record_logs(scope, self._storages))

    def _lost_events(self, known: KnownEvents) -> LostEvents:
        return LostEvents(self._scope, self._storages, known.__contains__, self._spread)


@dataclass(frozen=True)
class _Survey:
    """What a restore finds.

    Attributes:
        last: the last segment.
        follows: what this restore, or an earlier one that did not come to its end, found to be the end of the archive;
            or an earlier time that it was given.
        spread: how far apart the times of an event, its key and its records may be.
        events_lost: whether Redis has lost events that the archive has.
    """

    last: SegmentHeader | None
    follows: EventKey
    spread: timedelta
    events_lost: bool = field(kw_only=True)

    @property
    def packs_from(self) -> EventKey:
        """The key before which no record is in question: all that has one is archived, or was deleted."""
        return earlier(self.follows, self.spread)

    @property
    def known_from(self) -> EventKey:
        """The key from which on archive and stream may have the event of a record that is in question."""
        return earlier(self.follows, 2 * self.spread)
