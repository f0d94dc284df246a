"""The dead letters of a group: counts, shows, redrives and discards them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import (
    ConfigurationError,
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
from event_backbone.stream.values import DeadLetter, key_before
from event_backbone.wire import read_entry, read_inline

_PAGE = 1000
_PAYLOADS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """A dead letter, as shown to people.

    ``id`` identifies it in its group. ``metadata`` is None if it could not be read. ``reason`` is one of "rejected",
    "attempts-exhausted", "undecodable", "unknown-event", "unknown-version", "payload-gone" and "crashed". ``error`` is
    the name of the error's type and ``place`` where it was raised, as ``place_of`` returns it; ``detail`` is the reason
    of a ``Reject``, or a sentence of this package. None of them contains a payload. ``references`` say where the
    payload is; there are none if it is in the entry itself.
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
    """The result of a redrive: how many events were redriven, and the keys of those no longer in the stream."""

    events: int
    not_found: tuple[EventKey, ...] = ()


class DeadLetterFilters(TypedDict, total=False):
    """Which dead letters are meant: those to which all applies that is given, and is not None.

    ``keys`` are those of the events. ``reason`` and ``event`` (the name on the wire) are compared whole, ``error`` with
    the name of the error's type, with or without its module. The age counts from the failure: ``older_than`` and
    ``newer_than``. ``erased`` means those whose payload was erased, for which the payloads are loaded.
    """

    keys: Collection[EventKey] | None
    reason: str | None
    event: str | None
    error: str | None
    older_than: timedelta | None
    newer_than: timedelta | None
    erased: bool


class DeadLetters:
    """Counts, shows, redrives and discards the dead letters of one group, also while its consumers run.

    They are read in pages. Methods with filters (see ``DeadLetterFilters``) mean all dead letters there are at the
    call, without any filter, and no later ones: not those of events that fail again meanwhile. They raise
    StreamUnavailable and, to find erased payloads, StorageUnavailable; after an error or an interruption call them
    again, as each dead letter is dealt with in one step.
    """

    def __init__(self, streams: Streams, scope: StorageScope, group: str, storages: Mapping[str, Storage]) -> None:
        """Work on the dead letters of ``group`` in the stream of ``scope``, with payloads from ``storages``."""
        self._admin = streams.group_admin(scope.stream, group)
        self._stream = streams.stream(scope.stream)
        self._scope = scope
        self._storages = storages

    async def list(self, limit: int | None = 1000, **filters: Unpack[DeadLetterFilters]) -> AsyncIterator[DeadEvent]:
        """Yield up to ``limit`` dead letters (None: all), oldest first."""
        yielded = 0
        async for page in self._pages(_Filter(filters)):
            for letter in page:
                if limit is not None and yielded >= limit:
                    return
                yield self._shown(letter)
                yielded += 1

    async def counts(self, **filters: Unpack[DeadLetterFilters]) -> Sequence[DeadLetterCount]:
        """Count dead letters by reason, event and error; the largest number first."""
        found: dict[tuple[str, str | None, str], DeadLetterCount] = {}
        async for page in self._pages(_Filter(filters)):
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
        if not dead_letter.references:
            return StoredEvent(dead_letter.metadata, await self._inline(dead_letter.key))
        (content,) = await collect_available_payloads(self._scope, self._storages, [dead_letter.references])
        return StoredEvent(dead_letter.metadata, content, dead_letter.references)

    async def redrive(self, dead_letter_id: str) -> bool:
        """Deliver one event to this group again, as if for the first time; other groups are not affected.

        Returns False if there is no such dead letter (any longer): redriving twice delivers once.

        Raises:
            EventNotFound: the event is no longer in the stream; the dead letter stays.
        """
        found = await self._find(dead_letter_id)
        if found is None:
            return False
        (done,) = await self._admin.redrive([found])
        if done == "not-found":
            raise EventNotFound(f"Event {found.entry.key} is no longer in stream {self._scope.stream.key}.")
        return done == "redriven"

    async def redrive_all(self, *, dry_run: bool = False, **filters: Unpack[DeadLetterFilters]) -> Redriven:
        """Redrive dead letters, as ``redrive`` does; a dry run only counts them.

        Events whose payload was erased meanwhile are skipped where they are delivered, or not found if it was inline.
        """
        events = 0
        not_found: list[EventKey] = []
        async for page in self._pages(_Filter(filters)):
            answers = ["redriven"] * len(page) if dry_run else await self._admin.redrive(page)
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
        async for page in self._pages(_Filter(filters)):
            discarded += len(page) if dry_run else await self._admin.discard(page)
        return discarded

    async def _pages(self, wanted: _Filter) -> AsyncIterator[Sequence[DeadLetter]]:
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
        if entry is None:
            erased = await self._stream.erased([key])
            return PayloadErased(f"Event {key} was erased.") if erased else PayloadGone(f"Event {key} is gone.")
        return read_inline(entry.fields)

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
        )


class _Filter:
    """What is wanted of the dead letters, seen from now."""

    def __init__(self, wanted: DeadLetterFilters) -> None:
        now = datetime.now(UTC)
        keys, older, newer = wanted.get("keys"), wanted.get("older_than"), wanted.get("newer_than")
        if min(older or timedelta(), newer or timedelta()) < timedelta():
            raise ConfigurationError("older_than and newer_than must not be negative.")
        self._keys = None if keys is None else frozenset(keys)
        self._reason, self._error, self.event = wanted.get("reason"), wanted.get("error"), wanted.get("event")
        self._until = None if older is None else now - older
        self._since = None if newer is None else now - newer
        self.erased = wanted.get("erased", False)

    @property
    def after(self) -> str | None:
        """The id after which to begin."""
        return None if self._since is None else str(key_before(self._since))

    def in_time(self, letter: DeadLetter) -> bool:
        """Whether it is not too young; those that are too old come before ``after``."""
        return self._until is None or letter.failed_at <= self._until

    def matches(self, letter: DeadLetter) -> bool:
        """Whether all applies that needs neither metadata nor payload."""
        return (
            (self._keys is None or letter.entry.key in self._keys)
            and self._reason in {None, letter.reason}
            and (self._error is None or _same_type(self._error, letter.error))
        )


def _same_type(wanted: str, error: str) -> bool:
    """Whether two names of a type are the same, or one is the other without its module."""
    return f".{wanted}".endswith(f".{error}") or f".{error}".endswith(f".{wanted}")
