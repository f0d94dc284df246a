"""Explains one event: what became of it in each consumer group, and what it has caused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters import DeadEvent, DeadLetters
from event_backbone.errors import ConfigurationError, EntryUnreadable, RequirementUnknown
from event_backbone.model import EventKey, Metadata, StreamName
from event_backbone.stream.base import Streams
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.values import GroupState, PendingEntry
from event_backbone.wire import is_redriven, read_entry

LifeState = Literal["unread", "in-flight", "parked", "finished", "skipped", "dead-letter", "cut", "finished-or-cut"]
"""Where an event is in its life in a group.

``finished`` was handled, or discarded as a dead letter. ``skipped`` was passed over by the last seek forward; what an
earlier one has passed over counts as finished. ``cut`` was removed before the group read it. Of an event that has left
the stream, ``finished-or-cut`` says that Redis does not know which.
"""

_PAGE = 500


@dataclass(frozen=True, slots=True)
class GroupLife:
    """What became of an event in one consumer group.

    Attributes:
        group: the group.
        state: where the event is now.
        pending: the attempt under way, or the time of the next one, and the last failure; None unless it is in flight
            or parked.
        dead_letters: the dead letters that the group has of it, oldest first; more than one if it was handled again.
        redrives: how often it was redriven; 0 once it is finished.
    """

    group: str
    state: LifeState
    pending: PendingEntry | None
    dead_letters: tuple[DeadEvent, ...]
    redrives: int


@dataclass(frozen=True, slots=True)
class CausedEvent:
    """An event that a handler of another one has produced, and what it has caused in turn."""

    metadata: Metadata
    caused: tuple[CausedEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of an event.

    Attributes:
        event: the event, from the stream or the archive.
        groups: its life in each group of the stream.
        caused: what its handlers have produced, with what that has caused, oldest first.
        searched_until: up to when events were searched for what it has caused.
    """

    event: StoredEvent
    groups: tuple[GroupLife, ...]
    caused: tuple[CausedEvent, ...]
    searched_until: datetime


async def lives_of(
    streams: Streams, stream: StreamName, event: StoredEvent, dead_letters: Callable[[str], DeadLetters]
) -> tuple[GroupLife, ...]:
    """Return the life of an event in each group, by name. What is asked in turn may change in between."""
    states = await streams.stream(stream).groups()
    return tuple([await _life(streams, stream, event, each, dead_letters(each.name)) for each in _by_name(states)])


async def caused_by(
    streams: Streams, searched: Sequence[StreamName], event: Metadata, *, within: timedelta, depth: int
) -> tuple[CausedEvent, ...]:
    """Return what an event has caused in these streams, to this depth, until ``within`` after it was appended."""
    if within <= timedelta() or depth < 0:
        raise ConfigurationError("within must be positive, and depth not negative.")
    known: dict[str, list[Metadata]] = {str(event.event_id): []}
    level = set(known)
    for _ in range(depth):
        found: set[str] = set()
        for stream in searched:
            async for each in _after(streams, stream, event.key, within):
                if each.causation_id in level and str(each.event_id) not in known:
                    known[each.causation_id].append(each)
                    found.add(str(each.event_id))
        known.update({each: [] for each in found})
        level = found
        if not level:
            break
    return _tree(known, str(event.event_id))


def _tree(known: dict[str, list[Metadata]], event_id: str) -> tuple[CausedEvent, ...]:
    children = sorted(known.get(event_id, ()), key=lambda each: each.key)
    return tuple([CausedEvent(each, _tree(known, str(each.event_id))) for each in children])


async def _after(
    streams: Streams, name: StreamName, key: EventKey, within: timedelta
) -> AsyncGenerator[Metadata, None]:
    """Yield the metadata of the events that were appended from ``key`` on, for ``within``."""
    stream = streams.stream(name)
    end = EventKey(key.milliseconds + within // timedelta(milliseconds=1), 0, name.partition)
    start = EventKey(key.milliseconds, 0, name.partition)
    while page := await stream.range(start, end, _PAGE):
        for entry in page:
            if not is_redriven(entry.fields):
                try:
                    yield read_entry(entry.fields, name, entry.key)[0]
                except (EntryUnreadable, RequirementUnknown):
                    continue
        start = page[-1].key.successor()


async def _life(
    streams: Streams, stream: StreamName, event: StoredEvent, state: GroupState, dead_letters: DeadLetters
) -> GroupLife:
    key, admin = event.key, streams.group_admin(stream, state.name)
    waits: LifeState | None = None
    letters = tuple([each async for each in dead_letters.list(None, keys=[key])])
    redrives, pending = max([each.redrives for each in letters], default=0), await _pending(admin, key)
    if pending is None and event.segment is not None:
        # Redriven from the archive, the event is pending, or still to be read, under the key of another entry.
        for each, times in sorted((await admin.redriven(key)).items()):
            pending = pending or await _pending(admin, each)
            if each > state.last_delivered:
                waits, redrives = "unread", times
            elif not letters:
                waits, redrives = "skipped", times
    if pending is not None:
        waits, redrives = None, pending.redrives
    found = waits or _state(event, state, pending, dead=bool(letters))
    return GroupLife(state.name, found, pending, letters, redrives)


async def _pending(admin: GroupAdmin, key: EventKey) -> PendingEntry | None:
    return next((each for each in await admin.pending(key.predecessor(), 1) if each.key == key), None)


def _state(event: StoredEvent, group: GroupState, pending: PendingEntry | None, *, dead: bool) -> LifeState:
    if pending is not None:
        return "in-flight" if pending.due is None else "parked"
    if dead:
        return "dead-letter"
    in_stream = event.segment is None
    if event.key > group.last_delivered:
        return "unread" if in_stream else "cut"
    if group.skipped_after is not None and group.skipped_after < event.key <= (group.skipped_until or event.key):
        return "skipped"
    was_cut = not in_stream and group.cut_until is not None and event.key <= group.cut_until
    return "finished-or-cut" if was_cut else "finished"


def _by_name(states: Sequence[GroupState]) -> list[GroupState]:
    return sorted(states, key=lambda each: each.name)


def searched_until(event: Metadata, within: timedelta) -> datetime:
    """Return up to when events are searched: now, or ``within`` after this one."""
    now, begin = datetime.now(UTC), event.key.time
    return now if now - begin <= within else begin + within
