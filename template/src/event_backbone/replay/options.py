"""The options of a replay."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Literal, TypedDict, get_args

from event_backbone.contract import EventOf
from event_backbone.errors import ConfigurationError
from event_backbone.policy import RetryPolicy, UnknownPolicy
from event_backbone.reader import Bound
from event_backbone.replay.report import ReplayReport

OnReplayFailure = Literal["stop", "continue"]
"""What a replay does once the attempts of an event are used up."""

OnReplayProgress = Callable[[ReplayReport], None]
"""Is told how far a replay is."""


class ReplayKeywords(TypedDict, total=False):
    """The options that ``replay`` takes by name; ``ReplayOptions`` says what each of them means."""

    start: Bound | None
    end: Bound | None
    events: Collection[EventOf[Any, ...]] | None
    concurrency: int
    retry: RetryPolicy
    unknown: UnknownPolicy
    on_failure: OnReplayFailure
    rate: float | None
    dry_run: bool
    on_progress: OnReplayProgress


def ignore_progress(_: ReplayReport) -> None:
    """Take no notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """Which events a replay reads, and how it calls their handlers.

    Attributes:
        start: the first event, by its key or an aware time; None is the beginning.
        end: the first event that is left out; None is after the newest event there is at the call.
        events: replay only these events; payloads of others are not loaded.
        concurrency: how many events are handled at the same time. With 1 they are handled in the order of the stream,
            each after the one before is done with, its retries included. A batch of a batch handler counts as one
            until all of its events are done with; those that failed in it are attempted alone, one after the other.
        retry: how often an event is attempted, and how long it waits in between, during which it counts as one of those
            that are being handled. ``Retry(after=...)`` waits as well. By default five attempts within 15 s.
        unknown: whether an event that the contract does not have, without a fallback handler, counts as ``skipped``
            (``"skip"``) or as ``failed`` (``"dead-letter"``).
        on_failure: once an event's attempts are used up, or S3 forbids to read its payload, ``"stop"`` ends the replay
            with ``ReplayStopped``; ``"continue"`` counts it as ``failed`` and goes on. A ``Reject``, and what no
            attempt can change, such as a payload that is gone, count as ``failed`` and never stop a replay.
        rate: at most how many events begin in a second, those of a batch together; None is no limit.
        dry_run: call no handler; only read which events there are, without their payloads.
        on_progress: is called several times a second, and when the replay ends, whatever ends it. If it raises, so
            does the replay.
    """

    start: Bound | None = None
    end: Bound | None = None
    events: Collection[EventOf[Any, ...]] | None = None
    concurrency: int = 10
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(max_attempts=5))
    unknown: UnknownPolicy = "skip"
    on_failure: OnReplayFailure = "stop"
    rate: float | None = None
    dry_run: bool = False
    on_progress: OnReplayProgress = ignore_progress

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.concurrency < 1:
            raise ConfigurationError(f"concurrency must be 1 or more, not {self.concurrency}.")
        if self.rate is not None and not (self.rate > 0 and isfinite(self.rate)):
            raise ConfigurationError(f"rate must be a number of events above 0, or None, not {self.rate}.")
        for name, choices in (("on_failure", get_args(OnReplayFailure)), ("unknown", get_args(UnknownPolicy))):
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name} must be {' or '.join(choices)}, not {getattr(self, name)!r}.")
        for name in ("start", "end"):
            bound = getattr(self, name)
            if isinstance(bound, datetime) and bound.tzinfo is None:
                raise ConfigurationError(f"{name} must be an aware time, such as datetime.now(UTC).")
