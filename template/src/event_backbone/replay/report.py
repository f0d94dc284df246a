"""What a replay has done: counted while it runs, and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from event_backbone.model import EventKey, NewDeadLetter

_MOST_FAILURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayFailure:
    """An event that could not be handled: why, as its dead letter would say, and where its handler failed.

    Attributes:
        key: the event's key.
        event: its name on the wire; empty if its entry cannot be read.
        reason: the reason of the dead letter that a subscription would have made, such as ``attempts-exhausted``.
        detail: the text of a ``Reject``, or of an error of this package; no payload.
        error: the type of the error.
        place: where it was raised, as ``place_of`` returns it.
    """

    key: EventKey
    event: str
    reason: str
    detail: str
    error: str
    place: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line."""
        name = f"{self.key} ({self.event})" if self.event else str(self.key)
        why = " ".join(each for each in (self.error, f"({self.detail})" if self.detail else "") if each)
        where = f" at {self.place[-1]}" if self.place else ""
        return f"{name}: {self.reason}{f', {why}' if why else ''}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a replay has done so far, or in all.

    Attributes:
        next: the key to go on with, as ``start``: all events of the range before it are done with. Some after it may
            be done with as well while the replay runs, or if it was interrupted. At the end it is the end of the range.
        handled: how many events were handled, by name; in a dry run, how many would be. Names that the contract does
            not have count as ``unknown``.
        skipped: how many needed no handler, by reason: ``no-handler``, ``unknown-event``, ``erased`` or ``not-given``.
        failed: how many could not be handled, by the reason of the dead letter that a subscription would have made.
        failures: the first 100 of those.
        took: how long it has run.
    """

    next: EventKey
    handled: Mapping[str, int]
    skipped: Mapping[str, int]
    failed: Mapping[str, int]
    failures: Sequence[ReplayFailure]
    took: timedelta

    @property
    def events(self) -> int:
        """How many events are done with: handled, skipped and failed."""
        return sum(sum(each.values()) for each in (self.handled, self.skipped, self.failed))


class Tally:
    """Counts what becomes of events."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.handled: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.failures: list[ReplayFailure] = []
        self._began = monotonic()

    def fail(self, key: EventKey, event: str, letter: NewDeadLetter) -> None:
        """Count an event that could not be handled."""
        self.failed[letter.reason] += 1
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(failure_of(key, event, letter))

    def report(self, next_key: EventKey) -> ReplayReport:
        """Return what was counted so far."""
        return ReplayReport(
            next=next_key,
            handled=dict(self.handled),
            skipped=dict(self.skipped),
            failed=dict(self.failed),
            failures=tuple(self.failures),
            took=timedelta(seconds=monotonic() - self._began),
        )


def failure_of(key: EventKey, event: str, letter: NewDeadLetter) -> ReplayFailure:
    """Describe an event for which a subscription would have made this dead letter."""
    return ReplayFailure(
        key=key, event=event, reason=letter.reason, detail=letter.detail, error=letter.error, place=letter.place
    )
