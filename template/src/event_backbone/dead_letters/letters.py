"""The dead letters of a group: counts, shows, redrives and discards them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters.filters import DeadLetterFilters, Filter
from event_backbone.errors import (
    EntryUnreadable,
    EventNotFound,
    PayloadErased,
    PayloadGone,
    RequirementUnknown,
    StorageError,
)
from event_backbone.model import EventKey, Metadata, Payload, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_payloads
from event_backbone.stream.base import Streams
from event_backbone.stream.values import DeadLetter, Redrive
from event_backbone.wire import read_entry, read_inline

if TYPE_CHECKING:
    from event_backbone.archive.archived_dead_letters import ArchivedDeadLetters

_PAGE = 1000
_PAYLOADS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """A dead letter, as shown to people.

    ``id`` identifies it in its group. ``metadata`` is None if it could not be read. ``reason`` is one of "rejected",
    "attempts-exhausted", "undecodable", "unknown-event", "unknown-version", "payload-gone" and "crashed". ``error`` is
    the name of the error's type and ``place`` where it was raised, as ``place_of`` returns it; ``detail`` is the reason
    of a ``Reject``, or a sentence of this package. None of them contains a payload. ``references`` say where the
    payload is; there are none if it is in the entry itself. ``redrives`` is how often it was redriven before.
    """

    id: str
    key: EventKey
    metadata: Metadata | None
    reason: str
    detail: str
    error: str
    place: tuple[str, ...]
    attempts: int
    failed_at: datetime
    references: tuple[PayloadReference, ...] = ()
    redrives: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetterCount:
    """How many dead letters have one reason, event and error, and when the first and the last of them failed.

    ``event`` is None where the metadata cannot be read, ``error`` is empty where there was none.
    """

    reason: str
    event: str | None
    error: str
    dead_letters: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Redriven:
    """The result of a redrive: how many events were redriven, and the keys of those in neither stream nor archive."""

    events: int
    not_found: tuple[EventKey, ...] = ()


class DeadLetters:
    """Counts, shows, redrives and discards the dead letters of one group, also while its consumers run.

    Events that have left the stream are taken from the archive, if there is one. Dead letters are read in pages.
    Methods with filters (see ``DeadLetterFilters``) mean all dead letters there are at the call, without any filter,
    and no later ones: not those of events that fail again meanwhile. They raise StreamUnavailable and, to find erased
    payloads, StorageUnavailable; after an error or an interruption call them again, as each dead letter is dealt with
    in one step.
    """

    def __init__(
        self,
        streams: Streams,
        scope: StorageScope,
        group: str,
        storages: Mapping[str, Storage],
        archived: ArchivedDeadLetters | None = None,
    ) -> None:
        """Work on the dead letters of ``group`` in the stream of ``scope``, with payloads from ``storages``.

        ``archived`` finds in the archive what has left the stream.
        """
        self._admin = streams.group_admin(scope.stream, group)
        self._stream = streams.stream(scope.stream)
        self._scope = scope
        self._storages = storages
        self._archived = archived

    async def list(self, limit: int | None = 1000, **filters: Unpack[DeadLetterFilters]) -> AsyncIterator[DeadEvent]:
        """Yield up to ``limit`` dead letters (None: all), oldest first."""
        yielded = 0
        async for page in self._pages(Filter(filters)):
            for letter in page:
                if limit is not None and yielded >= limit:
                    return
                yield self._shown(letter)
                yielded += 1

    async def counts(self, **filters: Unpack[DeadLetterFilters]) -> Sequence[DeadLetterCount]:
        """Count dead letters by reason, event and error; the largest number first."""
        found: dict[tuple[str, str | None, str], DeadLetterCount] = {}
        async for page in self._pages(Filter(filters)):
            for letter in map(self._shown, page):
                event = None if letter.metadata is None else letter.metadata.event
                kind = (letter.reason, event, letter.error)
                known = found.get(kind)
                number, first = (0, letter.failed_at) if known is None else (known.dead_letters, known.first)
                found[kind] = DeadLetterCount(*kind, number + 1, first, letter.failed_at)
        return sorted(found.values(), key=lambda count: (-count.dead_letters, count.first))

    async def get(self, dead_letter_id: str) -> DeadEvent | None:
        """Return one dead letter; None if there is none with this id (any longer)."""
        found = await self._find(dead_letter_id)
        return None if found is None else self._shown(found)

    async def load(self, dead_letter: DeadEvent) -> StoredEvent:
        """Load the payload of a dead letter; an event whose payload is gone or erased says so.

        Raises:
            EntryUnreadable: its metadata cannot be read. PayloadErased: it was erased before it became a dead letter.
            StorageUnavailable: waiting may help.
            StorageMissing: the payload is in a storage that this backbone was not given.
        """
        if dead_letter.metadata is None:
            text = f"The metadata of event {dead_letter.key} cannot be read."
            erased = await self._stream.erased([dead_letter.key])
            raise PayloadErased(f"Event {dead_letter.key} was erased.") if erased else EntryUnreadable(text)
        references = dead_letter.references
        if not references:
            content = await self._inline(dead_letter.key)
        elif self._archived is not None:
            content = await self._archived.load(dead_letter.key, references)
        else:
            (content,) = await collect_available_payloads(self._scope, self._storages, [references])
        return StoredEvent(dead_letter.metadata, content, references)

    async def redrive(self, dead_letter_id: str) -> bool:
        """Deliver one event to this group again, as if for the first time; other groups are not affected.

        Returns False if there is no such dead letter (any longer): redriving twice delivers once. An event from the
        archive comes when the group has read what is in the stream now; any other at once.

        Raises:
            EventNotFound: the event is in neither the stream nor the archive, if there is one; the dead letter stays.
            StreamUnavailable, StorageUnavailable: Redis or S3 does not answer, or Redis is full; call it again.
            ConfigurationError, ArchiveUnreadable: S3 refuses, or a segment is damaged; the dead letter stays.
        """
        found = await self._find(dead_letter_id)
        if found is None:
            return False
        (done,) = await self._redrive([found])
        if done == "not-found":
            raise EventNotFound(self._nowhere(found.entry.key))
        return done == "redriven"

    async def redrive_all(self, *, dry_run: bool = False, **filters: Unpack[DeadLetterFilters]) -> Redriven:
        """Redrive dead letters, as ``redrive`` does; a dry run only counts them.

        Events whose payload was erased meanwhile are skipped where they are delivered; if it was inline, they are only
        found in the archive.
        """
        events = 0
        not_found: list[EventKey] = []
        async for page in self._pages(Filter(filters)):
            answers = ["redriven"] * len(page) if dry_run else await self._redrive(page)
            events += sum(answer == "redriven" for answer in answers)
            found = zip(page, answers, strict=True)
            not_found.extend(letter.entry.key for letter, answer in found if answer == "not-found")
        return Redriven(events, tuple(not_found))

    async def discard(self, dead_letter_id: str) -> bool:
        """Remove one dead letter: its event is not delivered to this group again, but stays in the stream.

        Returns False if there is no such dead letter (any longer).
        """
        found = await self._find(dead_letter_id)
        return found is not None and await self._admin.discard([found]) == 1

    async def discard_all(self, *, dry_run: bool = False, **filters: Unpack[DeadLetterFilters]) -> int:
        """Remove dead letters, as ``discard`` does, and return how many; a dry run only counts them."""
        discarded = 0
        async for page in self._pages(Filter(filters)):
            discarded += len(page) if dry_run else await self._admin.discard(page)
        return discarded

    async def _redrive(self, letters: Sequence[DeadLetter]) -> Sequence[Redrive]:
        """Redrive them, from the archive what has left the stream."""
        answers = await self._admin.redrive(letters)
        missing = [letter for letter, answer in zip(letters, answers, strict=True) if answer == "not-found"]
        if not missing or self._archived is None:
            return answers
        found = iter(await self._archived.redrive(missing))
        return [next(found) if answer == "not-found" else answer for answer in answers]

    def _nowhere(self, key: EventKey) -> str:
        stream = self._scope.stream.key
        if self._archived is None:
            return f"Event {key} is no longer in stream {stream}, and without an archive it cannot be redriven."
        return f"Event {key} is neither in stream {stream} nor in its archive."

    async def _pages(self, wanted: Filter) -> AsyncIterator[Sequence[DeadLetter]]:
        """Yield what is wanted, in pages, of the dead letters there are now."""
        newest, after = await self._admin.newest_dead_letter(), wanted.after
        last = None if newest is None else EventKey.parse(newest)
        while last is not None and (after is None or EventKey.parse(after) < last):
            letters = await self._admin.dead_letters(after, _PAGE)
            if not letters:
                return
            after = letters[-1].id
            if EventKey.parse(after) > last:
                letters = [letter for letter in letters if EventKey.parse(letter.id) <= last]
            in_time = [letter for letter in letters if wanted.in_time(letter)]
            page = [letter for letter in in_time if wanted.matches(letter)]
            if wanted.event is not None:
                page = [letter for letter in page if self._event_of(letter) == wanted.event]
            yield await self._erased(page) if wanted.erased else page
            if len(in_time) < len(letters):
                return

    async def _erased(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Return those whose payload was erased."""
        erased: list[DeadLetter] = []
        for first in range(0, len(letters), _PAYLOADS_AT_ONCE):
            some = letters[first : first + _PAYLOADS_AT_ONCE]
            references = [self._shown(letter).references for letter in some]
            contents = await collect_available_payloads(self._scope, self._storages, references)
            with_entry = await self._stream.erased([letter.entry.key for letter in some])
            for letter, content in zip(some, contents, strict=True):
                if isinstance(content, PayloadErased) or letter.entry.key in with_entry:
                    erased.append(letter)
        return erased

    async def _inline(self, key: EventKey) -> Payload | StorageError:
        """Return the payload in an event's entry: no dead letter has a copy of it."""
        entry = await self._stream.get(key)
        if entry is not None:
            return read_inline(entry.fields)
        if await self._stream.erased([key]):
            return PayloadErased(f"Event {key} was erased.")
        return PayloadGone(f"Event {key} is gone.") if self._archived is None else await self._archived.load(key, ())

    async def _find(self, dead_letter_id: str) -> DeadLetter | None:
        letters = await self._admin.dead_letters(str(EventKey.parse(dead_letter_id).predecessor()), 1)
        return next((letter for letter in letters if letter.id == dead_letter_id), None)

    def _event_of(self, letter: DeadLetter) -> str | None:
        metadata = self._shown(letter).metadata
        return None if metadata is None else metadata.event

    def _shown(self, letter: DeadLetter) -> DeadEvent:
        try:
            metadata, references = read_entry(letter.entry.fields, self._scope.stream, letter.entry.key)
        except (EntryUnreadable, RequirementUnknown):
            metadata, references = None, ()
        return DeadEvent(
            id=letter.id,
            key=letter.entry.key,
            metadata=metadata,
            reason=letter.reason,
            detail=letter.detail,
            error=letter.error,
            place=letter.place,
            attempts=letter.attempts,
            failed_at=letter.failed_at,
            references=references,
            redrives=letter.redrives,
        )
