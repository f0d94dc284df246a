"""What is to happen to an event after an attempt, and the line that says so in the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from event_backbone.model import NewDeadLetter
from event_backbone.model.correlation import CurrentEvent, reset_current_event, set_current_event
from event_backbone.policy import RetryLater

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """Only the ack is left to do. ``skipped`` says why no handler was called, if none was."""

    skipped: str = field(default="", compare=False)


Outcome = Finished | RetryLater | NewDeadLetter
"""What is to happen to an event after an attempt."""

FINISHED = Finished()


def is_rejected(outcome: Outcome) -> bool:
    """Return whether a handler wanted the dead letter."""
    return isinstance(outcome, NewDeadLetter) and outcome.reason == "rejected"


def log_outcome(current: CurrentEvent, outcome: Outcome, text: str, *values: object) -> None:
    """Log what becomes of an event. A dead letter is an error, unless a handler wanted it."""
    dead = isinstance(outcome, NewDeadLetter) and not is_rejected(outcome)
    token = set_current_event(current)  # for the log filter: a cancelled handler is decided outside its own context
    try:
        _log.log(logging.ERROR if dead else logging.WARNING, text, *values, _words(outcome, current.group))
    finally:
        reset_current_event(token)


def _words(outcome: Outcome, group: str) -> str:
    if isinstance(outcome, Finished):
        return "is acked anyway" if group else "counts as handled, as it was acked"
    if isinstance(outcome, RetryLater):
        return f"will be retried in {outcome.after.total_seconds():.3g} s"
    if not group:
        return f"is not tried again: {outcome.reason}"
    return f"goes to the dead letters as {outcome.reason!r}"
