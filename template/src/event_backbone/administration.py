"""What people do with streams from outside, while producers and consumers run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from event_backbone.archive.opening import (
    archive_state,
    open_archive_erasing,
    open_archived_dead_letters,
    open_cold_reads,
    open_restore,
)
from event_backbone.archive.restore_report import OnProgress, RestoreLimits, RestorePlan, RestoreReport, ignore_progress
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters import DeadLetters
from event_backbone.erasing import erase_payload
from event_backbone.groups import SeekReport, delete_group, seek_group
from event_backbone.lifetime import Lifetime
from event_backbone.migration.opening import open_migration
from event_backbone.migration.references import count_references
from event_backbone.migration.report import MigrationReport, OnMigrationProgress, StorageReferences
from event_backbone.migration.report import ignore_progress as ignore_migration_progress
from event_backbone.model import EventKey
from event_backbone.retention.by_hand import RetentionState, TrimReport, read_state, trim_by_hand
from event_backbone.storage.base import StorageScope
from event_backbone.storage.by_name import locations_of
from event_backbone.storage.moved_copies import MovedCopies
from event_backbone.stream.values import GroupDeletion, GroupState, PendingEntry, Start

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads
    from event_backbone.archive.restore import Restore
    from event_backbone.archive.state import ArchiveState

_CLOCKS_DIFFER_BY = timedelta(minutes=5)


class Administration(Lifetime):
    """Restores, trims, migrates, erases and examines streams; a part of ``Backbone``, which describes the settings."""

    async def restore(
        self,
        uri: str,
        *,
        since: datetime | None = None,
        follow_ups_in: Sequence[str] = (),
        on_progress: OnProgress = ignore_progress,
    ) -> RestoreReport:
        """Bring back to Redis all events of this URI that the archive and packs have; may be run again at any time.

        Producers and workers go on meanwhile. Archived events keep their keys; those that only packs have get new ones
        and the header ``restored``. Groups handle again what they had not finished, as far as the archive knows.
        Without an archive it knows packs alone: all events in them, and nothing of the groups.

        With retention by age, events that it would have removed stay in the archive alone, where readers find them.

        ``since`` (aware) is for what Redis lost in a failover long ago, before it was archived: packs are searched from
        then on. Without it they are searched from 15 minutes before the end of the archive, more with a longer
        ``deduplicate_for``.

        What handlers had produced by ``once=`` is known again, so they do not produce it twice: events of this URI and
        of ``follow_ups_in``, which names the other URIs that they produce to. Restore those before this one.

        Raises:
            StreamError: another restore of this stream is under way.
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer; run it again.
            ConfigurationError, ArchiveUnreadable: S3 refuses, or what it has cannot be used.
        """
        async with self._restore(uri, follow_ups_in) as restore:
            return await restore.run(since, on_progress)

    async def plan_restore(self, uri: str, *, since: datetime | None = None) -> RestorePlan:
        """Return what ``restore`` would do now; nothing is changed. Raises as ``restore`` does."""
        async with self._restore(uri) as restore:
            return await restore.plan(since)

    async def archive_state(self, uri: str) -> ArchiveState:
        """Return how far the archive of a stream is, and whether Redis has lost events that it has.

        Raises:
            ConfigurationError: the backbone has no archive, or S3 refuses.
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer.
            ArchiveUnreadable: a segment is damaged or missing, or a later version wrote it.
        """
        return await archive_state(self._require_archive(), self._scope(uri))

    async def trim(self, uri: str, *, before: EventKey | datetime | None = None, dry_run: bool = False) -> TrimReport:
        """Remove the events of a stream from Redis that are due, now and by this process; a dry run only counts them.

        ``before`` (a key or an aware time) says which are due, instead of the backbone's ``max_age``. Like retention it
        never removes what a living group has not finished, dead letters, or what is not archived. Forgotten is a group
        if retention has forgotten it. May be called beside whoever carries out retention.

        Raises:
            ConfigurationError: there is neither ``before`` nor a retention with ``max_age``, or its time has no zone.
            EventsLost: Redis has lost archived events; nothing is removed before they are restored.
            StreamError: a restore or migration of this stream is under way.
            StreamUnavailable, StorageUnavailable: Redis, or another one that has payloads, does not answer.
        """
        return await trim_by_hand(self._retained(self._scope(uri)), self._retention, before, dry_run=dry_run)

    async def retention_state(self, uri: str) -> RetentionState:
        """Return how large a stream is, what keeps its oldest event, and when Redis will be full.

        Raises StreamUnavailable when Redis does not answer.
        """
        return await read_state(self._retained(self._scope(uri)), self._retention)

    async def migrate(
        self,
        uri: str,
        *,
        away_from: str,
        dry_run: bool = False,
        remove: bool = False,
        on_progress: OnMigrationProgress = ignore_migration_progress,
    ) -> MigrationReport:
        """Move the payloads that are in the storage named ``away_from`` into the backbone's ``storage``.

        ``away_from`` is one of ``also_read``, or ``redis-hash`` for hashes beside the stream. Producers and consumers
        go on: events keep their keys, groups their positions, and handlers their leases. Every copy is loaded again
        and compared with the original; what is erased meanwhile is erased in both. Retention pauses. May be run again
        at any time: whatever ended it, it moves what is left, as what producers have saved to the old storage since.

        A dry run only counts. With ``remove`` the old hashes beside the stream are deleted, once nothing refers to
        that storage any more; payloads elsewhere stay. A later ``erase`` reaches what was copied in the old storage as
        long as that is in ``also_read``, but not other copies: remove them soon.

        Raises:
            StreamError: a restore or another migration of this stream is under way.
            StreamUnavailable, StorageUnavailable: Redis or a storage does not answer; run it again.
            RequirementUnknown: a later version wrote an event.
            ConfigurationError: there is no such storage, a storage refuses, or only parts of payloads are in it.
        """
        async with open_migration(
            self._scope(uri), self._storages, self._storage, away_from, self._deduplicate_for
        ) as migration:
            return await (migration.plan() if dry_run else migration.run(on_progress, remove=remove))

    def dead_letters(self, uri: str, group: str) -> DeadLetters:
        """Return the dead letters of a consumer group."""
        streams, scope = self._require_open(), self._scope(uri)
        archived = open_archived_dead_letters(self._archive, scope, self._storages, group)
        return DeadLetters(streams, scope, group, self._storages, archived)

    async def pending(
        self, uri: str, group: str, *, after: EventKey | None = None, count: int = 100
    ) -> Sequence[PendingEntry]:
        """Return up to ``count`` events that are delivered and neither acked nor dead-lettered, oldest first."""
        return await self._require_open().group_admin(self._scope(uri).stream, group).pending(after, count)

    async def groups(self, uri: str, *, expected: Collection[str] = ()) -> Sequence[GroupState]:
        """Return the state of every consumer group of a stream: what it has unread, pending and parked, and since when.

        A group that is ``expected`` and does not exist is returned, too, as its first consumer will make it at the
        beginning of the stream: everything is unread, and ``exists`` is False. Raises StreamUnavailable.
        """
        return await self._require_open().stream(self._scope(uri).stream).groups(expected)

    async def seek(self, uri: str, group: str, to: Start, *, dry_run: bool = False) -> SeekReport:
        """Let a group go on reading elsewhere: the next event it reads is the first at or after ``to``.

        ``to`` is a key, an aware time (the server's append time), ``"beginning"`` or ``"now"``. A dry run changes
        nothing. Consumers may run meanwhile, and follow within about a second.

        Back: events that the group had been given come again, as if for the first time. Those of them that are in
        flight lose their handlers, which are cancelled; those that are parked forget their attempts, and what they have
        produced by ``once=`` is produced again. Forward: what lies between is skipped, and no consumer of the group is
        ever given it. What is pending before ``to`` stays so, and dead letters stay. May be called again; interrupted,
        it has moved the group a part of the way back, and nothing is lost.

        Raises:
            GroupMissing: there is no such group.
            ConfigurationError: the URI is not valid, or the time has no zone.
            StreamError: a restore or migration of this stream is under way.
            StreamUnavailable: Redis does not answer; the group may have been moved. Call it again.
        """
        return await seek_group(self._require_open(), self._scope(uri), group, to, dry_run=dry_run)

    async def delete_group(
        self, uri: str, group: str, *, dead_letters: bool = False, dry_run: bool = False
    ) -> GroupDeletion:
        """Delete a group: its position, what is pending or parked, and all that is noted of it, also in the archive.

        Its events stay in the stream, and it keeps none of them from being removed any more. A consumer that starts
        later makes the group again, where its ``start`` says. With ``dead_letters``, its dead letters go too. A dry run
        only says what there is.

        Raises:
            GroupMissing: there is no such group, and nothing is kept of one.
            StreamError: a consumer of the group is alive, it has dead letters that were not to be deleted, or a restore
                or migration of this stream is under way; nothing was deleted.
            StreamUnavailable: Redis does not answer; it may be deleted. Call it again.
            StorageUnavailable, ConfigurationError: it is deleted in Redis, but a restore from the archive would make it
                again. Call it again.
        """
        return await delete_group(
            self._require_open(), self._scope(uri), group, self._archive, dead_letters=dead_letters, dry_run=dry_run
        )

    async def erase(self, uri: str, key: EventKey, *, part: str | None = None) -> list[str]:
        """Erase an event's payload in every storage that has a part of it; its entry and metadata stay.

        From then on the payload reads as ``erased``. With ``part``, the name of a storage, only what that storage has
        is erased: the rest reads as ``partial``. An inline payload is erased with its entry: nobody finds that event
        any more. What the archive has is erased too, at once or, if it is only about to be archived, before that is
        committed or soon after. So is what storages of ``also_read``, and hashes beside the stream, still have of an
        event whose payload has moved: hashes, and the records that were saved when it was produced or archived; one
        that refuses this is logged. May be called twice. Returns where the parts are that were erased, as ``location``
        does.

        Raises:
            EventNotFound: neither stream nor archive has an event with this key, or the event has no such part; the
                text names those that it has.
            EntryUnreadable, RequirementUnknown, StorageMissing: nothing was erased. Of an event that is only in the
                archive, a storage that is missing is logged instead.
            PayloadGone: a part is not there, and keeps reading as ``gone``; the others were erased.
            StreamUnavailable, StorageUnavailable: the payload may be erased in part; call it again.
            ConfigurationError, ArchiveUnreadable: the copy in the archive is not erased yet; archivers will do it.
        """
        scope, streams = self._scope(uri), self._require_open()
        archived = open_archive_erasing(self._archive, scope)
        spread = self._deduplicate_for + _CLOCKS_DIFFER_BY
        moved = MovedCopies(scope, self._storages, self._storage.readable(), spread)
        return await erase_payload(
            streams.stream(scope.stream), self._storages, scope, archived, key, moved=moved, part=part
        )

    async def storage_references(self, uri: str) -> Mapping[str, StorageReferences]:
        """Return what in Redis refers to each other storage than the backbone's own, by its name.

        Those are the ones of ``also_read``; and if anything refers to them, hashes beside the stream, and storages that
        the backbone was not given. What nothing refers to may be taken away; but the archive is not looked at, and a
        restore needs the storages that it names.

        Raises StreamUnavailable when Redis does not answer. It reads the whole stream.
        """
        scope, stream = self._scope(uri), self._require_open().stream(self._scope(uri).stream)
        if self._redis is None:
            return {}
        given = {name for storage in self._given_storages for name in storage.readable()}
        found = {**dict.fromkeys(given, StorageReferences()), **await count_references(scope, stream)}
        others = sorted(set(found) - set(self._storage.readable()))
        return {name: replace(found[name], given=name in self._storages) for name in others}

    def location(self, event: StoredEvent) -> list[str]:
        """Return where each part of an event's payload is, for people.

        A Redis key, the stream's entry, or a line in S3: ``s3://<bucket>/<key> (bytes <first>-<last>)``.
        """
        return locations_of(event, self._storages, self._scope(event.metadata.uri))

    def _cold_reads(self, scope: StorageScope) -> ColdReads | None:
        return None if self._archive is None else open_cold_reads(self._archive, scope)

    def _restore(self, uri: str, follow_ups_in: Sequence[str] = ()) -> AbstractAsyncContextManager[Restore]:
        kept = self._retention
        return open_restore(
            self._archive,
            self._scope(uri),
            self._storages,
            self._given_storages,
            self._deduplicate_for,
            follow_ups_in=[self._scope(each) for each in follow_ups_in if each != uri],
            limits=RestoreLimits() if kept is None else RestoreLimits(kept.max_age, kept.dead_letters_for),
        )
