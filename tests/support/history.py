"""Records what producers were told and what handlers were given, and judges both by what is in the stream."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

from event_backbone.errors import BackboneError, NotSent, OutcomeUnknown
from event_backbone.model import EventKey

Told = EventKey | type[BackboneError]
"""What a produce call ended with: the event's key, or this error."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it is in the stream, or in the archive."""

    key: EventKey
    event_id: UUID


@dataclass
class History:
    """What happened, in order: calls by producer, which awaits each before the next; handled events by group."""

    calls: dict[str, list[tuple[UUID, Told]]] = field(
        default_factory=lambda: defaultdict[str, list[tuple[UUID, Told]]](list)
    )
    handled: dict[str, Counter[UUID]] = field(default_factory=lambda: defaultdict[str, Counter[UUID]](Counter))

    async def call(self, producer: str, event_id: UUID, call: Callable[[], Awaitable[EventKey]]) -> Told:
        """Make a call and record how it ends. What is not an error of the package is raised."""
        told: Told
        try:
            told = await call()
        except BackboneError as error:
            told = type(error)
        self.calls[producer].append((event_id, told))
        return told

    @property
    def told(self) -> dict[UUID, Told]:
        """What was told of each event, last."""
        return {event_id: told for calls in self.calls.values() for event_id, told in calls}

    @property
    def acknowledged(self) -> dict[UUID, EventKey]:
        """The keys that calls returned."""
        return {event_id: told for event_id, told in self.told.items() if isinstance(told, EventKey)}

    def count(self, told: type[BackboneError]) -> int:
        """Return how many calls ended with this error."""
        return sum(each is told for calls in self.calls.values() for _, each in calls)


@dataclass
class Verdict:
    """What is wrong with a history; all of it is empty when every promise was kept."""

    lost: set[UUID]
    """Acknowledged, and neither in the stream nor in the archive."""
    moved: set[UUID]
    """Acknowledged, and there under another key: only a restore may do that."""
    twice: set[UUID]
    """There more than once."""
    unhandled: dict[str, set[UUID]]
    """By group: there, and neither handled nor a dead letter although the group is idle."""
    denied: set[UUID]
    """There although every call was told that it was not sent, or was refused."""
    disordered: set[UUID]
    """There before an event that the same producer had been acknowledged earlier."""
    unexpected: dict[str, int]
    """How many calls ended with errors that are neither NotSent nor OutcomeUnknown."""

    def problems(self) -> dict[str, object]:
        """Return what is not empty."""
        found: dict[str, object] = {n: value for n, value in vars(self).items() if n != "unhandled" and value}
        found.update({f"unhandled by {group}": ids for group, ids in self.unhandled.items() if ids})
        return found


def judge(history: History, there: Iterable[Stored], *, finished: Iterable[UUID] = ()) -> Verdict:
    """Judge a history once all groups are idle.

    ``there`` is every entry of the stream, in order, and what only the archive has; ``finished`` needs no handling,
    such as dead letters.
    """
    keys: dict[UUID, list[EventKey]] = defaultdict(list)
    for each in there:
        keys[each.event_id].append(each.key)
    told, acknowledged, done = history.told, history.acknowledged, set(finished)
    in_doubt = {e for calls in history.calls.values() for e, each in calls if each is OutcomeUnknown}
    return Verdict(
        lost=acknowledged.keys() - keys.keys(),
        moved={e for e, key in acknowledged.items() if e in keys and key not in keys[e]},
        twice={e for e, all_keys in keys.items() if len(all_keys) > 1},
        unhandled={group: keys.keys() - handled.keys() - done for group, handled in history.handled.items()},
        denied={e for e in told.keys() & keys.keys() if e not in acknowledged and e not in in_doubt},
        disordered={e for calls in history.calls.values() for e in _disordered(calls, keys)},
        unexpected=Counter(
            each.__name__
            for calls in history.calls.values()
            for _, each in calls
            if not isinstance(each, EventKey) and each not in {NotSent, OutcomeUnknown}
        ),
    )


def _disordered(calls: Iterable[tuple[UUID, Told]], keys: dict[UUID, list[EventKey]]) -> list[UUID]:
    there = [(keys[e][0], e) for e, told in calls if isinstance(told, EventKey) and e in keys]
    return [e for (before, _), (key, e) in pairwise(there) if key < before]
