"""The dead letters of a group: lists and redrives them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from event_backbone.errors import EntryUnreadable, EventNotFound
from event_backbone.model import EventKey, Metadata, StreamName
from event_backbone.stream.base import Streams
from event_backbone.stream.values import DeadLetter
from event_backbone.wire import read_entry

_PAGE = 100


@dataclass(frozen=True, slots=True)
class DeadEvent:
    """A dead letter, as shown to people.

    ``id`` identifies it in its group. ``metadata`` is None if it could not be read. ``reason`` is one of "rejected",
    "attempts-exhausted", "undecodable", "unknown-event", "unknown-version", "payload-gone", "payload-erased" and
    "crashed". ``error`` is the name of the error's type and ``place`` where it was raised, as ``place_of`` returns it;
    ``detail`` is the reason of a ``Reject``, or a sentence of this package. None of them contains a payload.
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


@dataclass(frozen=True, slots=True)
class Redriven:
    """The result of a redrive: how many events were redriven, and the keys of those no longer in the stream."""

    events: int
    not_found: tuple[EventKey, ...] = ()


class DeadLetters:
    """Lists and redrives the dead letters of one group, also while its consumers run. It reads them in pages."""

    def __init__(self, streams: Streams, stream: StreamName, group: str) -> None:
        """Work on the dead letters of ``group`` in ``stream``."""
        self._streams = streams
        self._admin = streams.group_admin(stream, group)
        self._stream = stream
        self._group = group

    async def list(self, limit: int | None = 1000, *, reason: str | None = None) -> AsyncIterator[DeadEvent]:
        """Yield up to ``limit`` dead letters (None: all), oldest first, and only those with ``reason`` if given."""
        yielded = 0
        async for letter in self._all():
            if limit is not None and yielded >= limit:
                return
            if reason is None or letter.reason == reason:
                yield self._shown(letter)
                yielded += 1

    async def redrive(self, dead_letter_id: str) -> bool:
        """Deliver one event to this group again, as if for the first time; other groups are not affected.

        Returns False if there is no such dead letter (any longer): redriving twice delivers once.

        Raises:
            EventNotFound: the event is no longer in the stream; the dead letter stays.
        """
        found = await self._find(dead_letter_id)
        return found is not None and await self._admin.redrive(found)

    async def redrive_all(self, reason: str | None = None) -> Redriven:
        """Redrive the current dead letters, all or those with ``reason``. May be called again after an error."""
        events = 0
        not_found: list[EventKey] = []
        # Events that fail again meanwhile become new dead letters at the end; the count leaves them out.
        left = await self._count()
        async for letter in self._all():
            if left == 0:
                break
            left -= 1
            if reason is not None and letter.reason != reason:
                continue
            try:
                events += await self._admin.redrive(letter)
            except EventNotFound:
                not_found.append(letter.entry.key)
        return Redriven(events, tuple(not_found))

    async def _all(self) -> AsyncIterator[DeadLetter]:
        after: str | None = None
        while letters := await self._admin.dead_letters(after, _PAGE):
            for letter in letters:
                yield letter
            after = letters[-1].id

    async def _count(self) -> int:
        states = await self._streams.stream(self._stream).groups()
        return sum(state.dead_letters for state in states if state.name == self._group)

    async def _find(self, dead_letter_id: str) -> DeadLetter | None:
        async for letter in self._all():
            if letter.id == dead_letter_id:
                return letter
        return None

    def _shown(self, letter: DeadLetter) -> DeadEvent:
        try:
            metadata, _ = read_entry(letter.entry.fields, self._stream, letter.entry.key)
        except EntryUnreadable:
            metadata = None
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
        )
