"""What handlers had produced once before Redis was lost: each such event says in a header which event was handled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from pydantic_core import from_json

from event_backbone.archive.history import History
from event_backbone.model import EventKey, FollowUp, StreamName
from event_backbone.storage.base import RecordLog
from event_backbone.stream.redis.follow_up_records import follow_up_line
from event_backbone.stream.redis.stream import RedisStream
from event_backbone.wire import METADATA_FIELD, ONCE_HEADER, is_forwarded, read_once_header
from event_backbone.wire.archived_event import read_archived_metadata

_METADATA = METADATA_FIELD.encode()
_SIGN = f'"{ONCE_HEADER}":'.encode()
_PAGE = 500
_MILLISECOND = timedelta(milliseconds=1)


class Unfinished(NamedTuple):
    """What a group will handle again: everything after ``position``, and what is pending or a dead letter up to it."""

    position: EventKey
    keys: Collection[EventKey]

    def has(self, key: EventKey) -> bool:
        """Return whether it will handle the event with this key."""
        return key > self.position or key in self.keys

    @property
    def oldest(self) -> EventKey:
        """The first key that it may handle again."""
        return min(self.keys, default=self.position.successor())


class FollowUps:
    """The follow-up events of one stream's events. Holds about 500 bytes for each.

    An archived event keeps its key. Of one that Redis lost before it was archived, only the event id stays.
    """

    def __init__(self, stream: StreamName, until: EventKey, groups: Mapping[str, Unfinished]) -> None:
        """Keep those of handlers of ``groups``; events up to ``until`` are archived."""
        self._stream = stream
        self._until = until
        self.groups = groups
        self._archived: dict[str, dict[EventKey, dict[FollowUp, str]]] = {name: {} for name in groups}
        self._by_event: dict[str, dict[str, dict[FollowUp, str]]] = {}

    def add(self, document: bytes, stream: StreamName, key: EventKey | None) -> None:
        """Add an event of ``stream``, by its metadata; ``key`` is None if a restore may give it another one.

        Of two events that should have been one, the first counts. What is not a follow-up event is left out.
        """
        if not _may_be_follow_up(document) or is_forwarded(document):  # a handler elsewhere has produced those
            return
        try:
            members = cast("dict[str, object]", from_json(document))
            header = read_once_header(cast("dict[str, str]", members["headers"])[ONCE_HEADER])
        except (ValueError, KeyError, TypeError):
            return
        if header is None or header.stream != self._stream.key or header.group not in self.groups:
            return
        follow_up, event_id = FollowUp(stream.uri, str(members["event"]), header.label), str(members["id"])
        line = follow_up_line(follow_up, event_id, key)
        self._by_event.setdefault(header.event_id, {}).setdefault(header.group, {}).setdefault(follow_up, line)
        if header.key <= self._until and self.groups[header.group].has(header.key):
            self._archived[header.group].setdefault(header.key, {}).setdefault(follow_up, line)

    def of_archived(self, group: str) -> Mapping[EventKey, str]:
        """Return the lines of archived events that the group will handle again."""
        return {key: "".join(lines.values()) for key, lines in self._archived.get(group, {}).items()}

    def of_event(self, event_id: str) -> Mapping[str, str]:
        """Return the lines of an event that is appended again, by the group that will handle it."""
        return {group: "".join(lines.values()) for group, lines in self._by_event.get(event_id, {}).items()}


class EventSources(NamedTuple):
    """Where the events of one stream are: in its archive, in the stream itself, and in packs."""

    name: StreamName
    history: History | None
    stream: RedisStream
    logs: Sequence[RecordLog]

    async def add_to(self, follow_ups: FollowUps, since: EventKey, spread: timedelta) -> None:
        """Add all events that were produced after those from ``since`` on; ``spread`` is how far clocks may be apart.

        Raises StreamUnavailable, StorageUnavailable, ConfigurationError or ArchiveUnreadable, as those do.
        """
        last = earlier(since, spread)
        if self.history is not None:
            async with aclosing(self.history.segments(last.predecessor())) as segments:
                async for segment in segments:
                    last = max(last, segment.header.last)
                    for line in segment.lines() if _may_be_follow_up(segment.text) else ():
                        if _may_be_follow_up(line):
                            key, document = read_archived_metadata(line, self.name)
                            follow_ups.add(document, self.name, key)
        async with aclosing(self._live(last)) as documents:
            async for document in documents:
                follow_ups.add(document, self.name, None)
        saved_since = time_of(earlier(last, spread))
        for log in self.logs:
            async with aclosing(log.records(saved_since, _may_be_follow_up)) as pages:
                async for page in pages:
                    for record in page:
                        follow_ups.add(record.document, self.name, None)

    async def _live(self, after: EventKey) -> AsyncGenerator[bytes, None]:
        while entries := await self.stream.range(after.successor(), None, _PAGE):
            for entry in entries:
                yield entry.fields.get(_METADATA, b"")
            after = entries[-1].key


class FollowUpSearch:
    """Finds the follow-up events of one stream's events among what has been produced."""

    def __init__(self, own: EventSources, others: Sequence[EventSources], spread: timedelta) -> None:
        """Search the stream itself and ``others``; ``spread`` is how far apart two clocks may be."""
        self._own = own
        self._sources = (own, *others)
        self._spread = spread

    async def find(self, until: EventKey, saved: Mapping[str, Unfinished], unsaved: Unfinished) -> FollowUps:
        """Return what is found; events up to ``until`` are archived.

        ``saved`` says what groups will handle again of those, and ``unsaved`` what a group will that only the live
        stream has.

        Raises as ``EventSources.add_to`` does.
        """
        live = {each.name: unsaved for each in await self._own.stream.groups()}
        groups = {**live, **saved}
        follow_ups = FollowUps(self._own.name, until, groups)
        if groups:
            since = min(until, *(each.oldest for each in groups.values()))
            for each in self._sources:
                await each.add_to(follow_ups, since, self._spread)
        return follow_ups


def earlier(key: EventKey, by: timedelta) -> EventKey:
    """Return the first key of the millisecond that is so long before a key."""
    return EventKey(max(0, key.milliseconds - by // _MILLISECOND), 0, key.partition)


def time_of(key: EventKey) -> datetime | None:
    """Return the time of a key; None of the first one."""
    return key.time if key.milliseconds else None


def _may_be_follow_up(text: bytes) -> bool:
    return _SIGN in text
