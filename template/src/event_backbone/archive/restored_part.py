"""Which part of the archive a restore brings back to Redis: what retention would have kept."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import NamedTuple

from event_backbone.archive.follow_ups import Unfinished
from event_backbone.archive.group_states import SavedDeadLetter, SavedGroup, read_dead_letters, read_groups
from event_backbone.archive.history import History
from event_backbone.archive.restore_report import RestoreLimits
from event_backbone.archive.s3_archive import S3Archive
from event_backbone.archive.segment import Segment
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.base import Stream
from event_backbone.wire.archived_event import key_of_archived, read_key
from event_backbone.wire.fields import EPOCH

_PAGE = 1000
_MILLISECOND = timedelta(milliseconds=1)


class RestoredGroup(NamedTuple):
    """A group as it is restored, and its dead letters as they were saved."""

    state: SavedGroup
    dead_letters: Sequence[SavedDeadLetter]

    @property
    def sources(self) -> list[EventKey]:
        """The keys of the events that its dead letters are about."""
        return [each.source for each in self.dead_letters]


class RestoredPart(NamedTuple):
    """The archived events that are restored: all from ``start`` on, and single ``earlier`` ones, in order."""

    start: EventKey
    earlier: Sequence[EventKey]

    def unfinished(self, group: RestoredGroup) -> Unfinished:
        """Return what a group will handle again: what it has not finished, as far as that is restored."""
        earlier = frozenset(self.earlier)
        keys = [key for key in (*group.state.pending, *group.sources) if key >= self.start or key in earlier]
        return Unfinished(max(group.state.position, self.start.predecessor()), frozenset(keys))

    async def lines(self, history: History) -> AsyncGenerator[Sequence[bytes], None]:
        """Yield the lines of these events, in order, those of one segment at a time.

        Segments that have none of them are not read. Raises as ``History`` does.
        """
        async with aclosing(self._earlier_lines(history)) as found:
            async for lines in found:
                yield lines
        async with aclosing(history.segments(self.start.predecessor())) as segments:
            async for segment in segments:
                yield self._from_start(segment)

    async def before_start(self, history: History, total: int) -> int:
        """Return how many of the ``total`` events of the archive come before ``start``. Raises as ``History`` does."""
        if self.start.milliseconds == 0:
            return 0
        segment = await history.find(self.start)
        return total if segment is None else segment.header.total - len(self._from_start(segment))

    async def archive_only(self, history: History, total: int) -> int:
        """Return how many of the ``total`` events of the archive are not among these. Raises as ``History`` does."""
        before = await self.before_start(history, total)
        async with aclosing(self._earlier_lines(history)) as found:
            return before - sum([len(lines) async for lines in found])

    async def _earlier_lines(self, history: History) -> AsyncGenerator[Sequence[bytes], None]:
        first = 0
        while first < len(self.earlier) and (segment := await history.find(self.earlier[first])) is not None:
            end = bisect_right(self.earlier, segment.header.last)
            wanted = {key.entry_id.encode() for key in self.earlier[first:end]}
            yield [line for line in segment.lines() if key_of_archived(line) in wanted]
            first = end

    def _from_start(self, segment: Segment) -> Sequence[bytes]:
        header, lines = segment.header, segment.lines()
        if header.follows >= self.start.predecessor():
            return lines
        return [line for line in lines if read_key(key_of_archived(line), header.stream) >= self.start]


async def restored_groups(
    archive: S3Archive, stream: StreamName, until: EventKey, limits: RestoreLimits, now: datetime
) -> list[RestoredGroup]:
    """Return the saved groups, none of them ahead of ``until``, the last archived key.

    Raises as ``read_groups`` does.
    """
    letters = await read_dead_letters(archive, stream)
    groups: list[RestoredGroup] = []
    for saved in await read_groups(archive, stream):
        position = min(saved.position, until)
        state = saved._replace(position=position, pending=tuple(key for key in saved.pending if key <= position))
        own = [each for each in letters.get(saved.name, ()) if each.source <= position and _is_kept(each, limits, now)]
        groups.append(RestoredGroup(state, own))
    return groups


async def restored_part(
    groups: Sequence[RestoredGroup], live: Stream, until: EventKey, limits: RestoreLimits, now: datetime
) -> RestoredPart:
    """Return what is restored for these groups.

    Events that groups have not read begin it, or events of ``max_age``. Earlier ones are what groups have pending, what
    dead letters are about, and what the ``live`` stream has: without their entries nothing would ever remove the
    payloads that are beside it. Holds about 80 bytes for each. Raises StreamUnavailable in outages.
    """
    if limits.max_age is None:
        return RestoredPart(EventKey(0, 0, until.partition), ())
    living = [each for each in groups if not each.state.forgotten]
    oldest = EventKey(max(0, (now - EPOCH) // _MILLISECOND - limits.max_age // _MILLISECOND), 0, until.partition)
    start = min(oldest, until.successor(), *(each.state.position.successor() for each in living))
    earlier = {key for each in living for key in each.state.pending}
    earlier.update(source for each in groups for source in each.sources)
    after: EventKey | None = None
    while entries := await live.range(after, start, _PAGE):
        earlier.update(entry.key for entry in entries)
        after = entries[-1].key.successor()
    return RestoredPart(start, sorted(key for key in earlier if key < start))


def _is_kept(letter: SavedDeadLetter, limits: RestoreLimits, now: datetime) -> bool:
    return limits.dead_letters_for is None or now - EventKey.parse(letter.id).time < limits.dead_letters_for
