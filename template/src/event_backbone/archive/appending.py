"""Appends to the live stream, once, the events that only packs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from event_backbone.archive.follow_ups import FollowUps
from event_backbone.archive.known_events import KnownEvents
from event_backbone.archive.recovering import LostEvent
from event_backbone.backoff import Backoff, Delays
from event_backbone.connection import RedisConnection
from event_backbone.errors import StreamError, StreamUnavailable
from event_backbone.model import EventKey, HashWrite, event_id_time
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.loading import collect_available_references, is_gone
from event_backbone.stream.redis.stream import RedisStream
from event_backbone.stream.values import NewEntry
from event_backbone.wire.keys import ONCE_KEY

_BACKOFF = Backoff(first=timedelta(milliseconds=100), longest=timedelta(seconds=2))
_TRIES = 20


class Appending:
    """Appends lost events, and counts them, and their parts that are nowhere any more."""

    def __init__(
        self,
        scope: StorageScope,
        storages: Mapping[str, Storage],
        redis: RedisConnection,
        known: KnownEvents,
        follow_ups: FollowUps,
    ) -> None:
        """Append to this stream what is not in ``known``, which reads on in the stream, with its follow-up events."""
        self._scope = scope
        self._storages = storages
        self._redis = redis
        self._known = known
        self._follow_ups = follow_ups
        self.appended = 0
        self.gone = 0

    async def append(self, lost: Sequence[LostEvent], known_from: EventKey, remember_for: timedelta) -> None:
        """Append those that are not in the stream meanwhile. May be repeated.

        Raises:
            StreamUnavailable: Redis does not answer, or is full; some may have been appended.
            StreamError: it refuses an event.
            StorageUnavailable: a storage of a part does not answer.
        """
        self.appended += await self._append([self._entry(each) for each in lost], known_from, remember_for)
        elsewhere = [reference for each in lost for reference in each.elsewhere]
        if elsewhere:
            found = await collect_available_references(self._scope, self._storages, elsewhere)
            self.gone += sum(map(is_gone, found))

    def _entry(self, lost: LostEvent) -> NewEntry:
        """Return the entry. Its follow-up events are kept in the step that appends it, as workers may wait for it."""
        kept = self._follow_ups.of_event(str(lost.entry.event_id))
        writes = [HashWrite(f"{ONCE_KEY}:{group}", {"": lines.encode()}) for group, lines in kept.items()]
        return lost.entry._replace(writes=tuple(writes)) if writes else lost.entry

    async def _append(self, entries: Sequence[NewEntry], known_from: EventKey, remember_for: timedelta) -> int:
        delays, count = Delays(_BACKOFF), None
        while True:
            try:
                await self._known.read_on(known_from)
                new = [each for each in entries if str(each.event_id) not in self._known]
                count = len(new) if count is None else count
                keys = await self._appended(new, remember_for) if new else []
            except StreamUnavailable:
                if delays.failures == _TRIES:
                    raise
                await delays.wait()
            else:
                return count - sum(key <= self._known.read_to for key in keys)  # those were appended once, and deleted

    async def _appended(self, entries: Sequence[NewEntry], remember_for: timedelta) -> list[EventKey]:
        """Append in one step, remembering the event ids however old they are; raise the first refusal."""
        now = datetime.now(UTC)
        farthest = max(abs(now - event_id_time(each.event_id)) for each in entries)
        stream = RedisStream(self._redis, self._scope.stream, remember_for + farthest)
        results = await stream.append(entries)
        refused = next((each for each in results if isinstance(each, StreamError)), None)
        if refused is not None:
            raise refused
        return [each for each in results if isinstance(each, EventKey)]
