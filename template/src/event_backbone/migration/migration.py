"""``Migration``: moves the payloads of one stream's events away from a storage."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from event_backbone.archive.opening import redis_of
from event_backbone.archive.restore_lock import LOCKED_FOR, locked
from event_backbone.errors import ConfigurationError, EntryUnreadable, RequirementUnknown
from event_backbone.migration.payload_copies import PayloadCopies, movable
from event_backbone.migration.references import count_references, references_of, waits_elsewhere
from event_backbone.migration.removing import check_removable, remove_moved, remove_unnamed
from event_backbone.migration.report import MigrationProgress, MigrationReport, OnMigrationProgress, StorageReferences
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import SplitStorage, Storage, StorageScope
from event_backbone.stream.redis.migrating import CopiedEntry, RedisMigrating, raw_dead_letters
from event_backbone.stream.redis.stream import RedisStream
from event_backbone.stream.values import Entry
from event_backbone.wire import METADATA_FIELD
from event_backbone.wire.moving import with_references

_PAGE = 250
_MOST_BYTES = 8 << 20
_PASSES = 3
_METADATA = METADATA_FIELD.encode()

_Found = tuple[Entry, PayloadReference | None, int]


@dataclass(slots=True)
class Migration:
    """Moves payloads to ``target``. It may be run again at any time, whatever ended it, and does what is left to do.

    The stream is rewritten beside the live one, which it replaces in one step: whatever ends it before, nothing has
    changed, and only copies are left that no entry refers to. Then dead letters follow in the same way.
    """

    scope: StorageScope
    stream: RedisStream
    migrating: RedisMigrating
    storages: Mapping[str, Storage]
    target: Storage
    away_from: str

    def __post_init__(self) -> None:
        """Refuse what cannot move."""
        if isinstance(self.target, SplitStorage):
            raise ConfigurationError("Payloads do not move into a SplitStorage: give the backbone a single storage.")
        if self.away_from == self.target.name:
            raise ConfigurationError(
                f"Storage {self.away_from!r} is the one that new payloads go to; name the one to move them from."
            )
        if self.away_from not in self.storages:
            others = sorted(map(repr, set(self.storages) - {self.target.name}))
            end = f", or name {', '.join(others)}." if others else "."
            raise ConfigurationError(f"There is no storage {self.away_from!r}; add it to also_read={end}")

    async def plan(self) -> MigrationReport:
        """Return what refers to the old storage. Nothing is changed."""
        began = monotonic()
        return self._report(None, 0, 0, await self._still(), began)

    async def run(self, on_progress: OnMigrationProgress, *, remove: bool) -> MigrationReport:
        """Move payloads, and return what was done.

        Raises:
            StreamError: a restore or another migration of this stream is under way.
            StreamUnavailable, StorageUnavailable: Redis or a storage does not answer; run it again.
            ConfigurationError, RequirementUnknown: a storage refuses, or an event cannot be moved.
        """
        if remove:
            check_removable(self.storages[self.away_from], self.target)
        began, letters, removed = monotonic(), 0, 0
        copies = PayloadCopies(
            self.scope, self.storages, away_from=self.away_from, target=self.target, stream=self.stream
        )
        async with locked(self.migrating, self.scope.stream):
            still = await self._still()
            for _ in range(_PASSES):
                if still.nothing:
                    break
                if still.events:
                    await self._move_events(copies, on_progress)
                if still.dead_letters:
                    letters += await self._move_letters()
                still = await self._still()
            if not still.dead_letters:
                await remove_unnamed(self.scope, self.storages[self.away_from], copies.unnamed)
            if remove and still.nothing:
                removed = await remove_moved(self.scope, self.stream, self.storages, self.away_from, self.target)
        return self._report(copies, letters, removed, still, began)

    async def _still(self) -> StorageReferences:
        return (await count_references(self.scope, self.stream)).get(self.away_from, StorageReferences())

    def _report(
        self, copies: PayloadCopies | None, letters: int, removed: int, still: StorageReferences, began: float
    ) -> MigrationReport:
        return MigrationReport(
            self.scope.stream.uri,
            self.away_from,
            self.target.name,
            still,
            moved=0 if copies is None else copies.moved,
            erased=0 if copies is None else copies.erased,
            gone=0 if copies is None else copies.gone,
            dead_letters=letters,
            removed=removed,
            took=timedelta(seconds=monotonic() - began),
        )

    async def _move_events(self, copies: PayloadCopies, on_progress: OnMigrationProgress) -> None:
        await self.migrating.restart(LOCKED_FOR)
        done, total, position = 0, await self.stream.length(), None
        while True:
            async for page in self._pages(position):
                await self.migrating.add(await copies.rewritten(page))
                await copies.verify()
                position, done = page[-1][0].key, done + len(page)
                on_progress(MigrationProgress(done, max(done, total)))
            if await self._take_place():
                return

    async def _pages(self, position: EventKey | None) -> AsyncGenerator[list[_Found], None]:
        """Yield the entries after this key, with what is to move of them, as many as have 8 MiB."""
        while entries := await self.stream.range(None if position is None else position.successor(), None, _PAGE):
            page: list[_Found] = []
            page_bytes = 0
            for entry in entries:
                found = self._found(entry)
                if page and page_bytes + found[2] > _MOST_BYTES:
                    yield page
                    page, page_bytes = [], 0
                page.append(found)
                page_bytes += found[2]
            yield page
            position = entries[-1].key

    def _found(self, entry: Entry) -> _Found:
        try:
            references, size_bytes = references_of(entry)
        except EntryUnreadable:
            return entry, None, 0  # another program's: it stays as it is
        except RequirementUnknown as error:
            raise RequirementUnknown(f"Nothing has moved: {error}") from error
        reference = movable(entry, references, self.away_from)
        return entry, reference, 0 if reference is None else size_bytes

    async def _take_place(self, group: str = "") -> bool:
        """Whether what was built is live now; else more is to be copied."""
        while True:
            answer = await self.migrating.take_place(group)
            if answer == "left":
                await self.migrating.prune(group)
            else:
                return answer == "done"

    async def _move_letters(self) -> int:
        """Let dead letters refer to where the payloads of their events are now; return how many do."""
        moved = 0
        for state in await self.stream.groups():
            if not state.dead_letters or not await self._any_moves(state.name):
                continue
            await self.migrating.restart(LOCKED_FOR)
            after = "0-0"
            while True:
                while page := await self._letters(state.name, after):
                    copies = await self._rewritten_letters(page)
                    moved += sum(copy.fields is not entry.fields for copy, (entry, _) in zip(copies, page, strict=True))
                    await self.migrating.add(copies, state.name)
                    after = page[-1][0].key.entry_id
                if after == "0-0" or await self._take_place(state.name):  # or all of them were redriven meanwhile
                    break
        return moved

    async def _letters(self, group: str, after: str) -> Sequence[tuple[Entry, EventKey]]:
        return await raw_dead_letters(redis_of(self.scope), self.scope.stream, group, after, _PAGE)

    async def _any_moves(self, group: str) -> bool:
        after = "0-0"
        while page := await self._letters(group, after):
            copies = await self._rewritten_letters(page)
            if any(copy.fields is not entry.fields for copy, (entry, _) in zip(copies, page, strict=True)):
                return True
            after = page[-1][0].key.entry_id
        return False

    async def _rewritten_letters(self, page: Sequence[tuple[Entry, EventKey]]) -> list[CopiedEntry]:
        copies: list[CopiedEntry] = []
        for letter, source in page:
            fields = letter.fields
            if waits_elsewhere(letter, self.away_from):
                entry = await self.stream.get(source)
                references = None if entry is None else _moved_to(entry, self.away_from)
                if references is not None:
                    fields = {**fields, _METADATA: with_references(fields[_METADATA], references)}
            copies.append(CopiedEntry(letter.key.entry_id, fields))
        return copies


def _moved_to(entry: Entry, away_from: str) -> Sequence[PayloadReference] | None:
    """Return where the payload of an event is now; None if that is still the old storage, or cannot be read."""
    try:
        references, _ = references_of(entry)
    except (EntryUnreadable, RequirementUnknown):
        return None
    return None if any(each.storage == away_from for each in references) else references
