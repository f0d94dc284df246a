"""The options of a subscription."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, TypedDict, get_args

from event_backbone.errors import ConfigurationError
from event_backbone.model import OriginFilter, check_origin
from event_backbone.policy import AckPolicy, RetryPolicy, UnknownPolicy
from event_backbone.spans import Tracing
from event_backbone.stream.values import Start, check_start

Until = Literal["empty"]
"""When a subscription ends by itself: once its group has nothing left."""

_POLICIES = {"ack": get_args(AckPolicy), "tracing": get_args(Tracing), "unknown": get_args(UnknownPolicy)}
_SHORTEST_LEASE = timedelta(milliseconds=100)


class SubscriptionKeywords(TypedDict, total=False):
    """The options that ``subscribe`` takes by name; ``SubscriptionOptions`` says what each of them means."""

    concurrency: int
    lease: timedelta
    retry: RetryPolicy
    ack: AckPolicy
    unknown: UnknownPolicy
    max_events: int | None
    until: Until | None
    drain: timedelta
    start: Start
    prefetch: int
    prefetch_bytes: int
    max_waiting: int
    max_parked: int
    alone_for: timedelta
    consumer_name: str | None
    tracing: Tracing
    origin: OriginFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """How a subscription reads, retries and stops.

    Attributes:
        concurrency: how many events are handled at the same time; a batch counts as one. With 1 they are handled in the
            order of the stream, each after the one before was acked; an event that is retried comes later. Several URIs
            share it, in turn.
        lease: how long events in flight stay with this consumer after it last answered. It is renewed while the
            process lives, so it need not cover the longest handler; after a crash other consumers take over when it
            has ended, within a second.
        retry: what happens after a failure.
        ack: when an event is acked. ``on-success``: after its handlers succeeded. ``manual``: when a handler calls
            ``ctx.ack()``; one that returns without doing so is called again later, which uses up no attempt.
            ``always``: after the handlers ended, even when they failed; only a Reject goes to the dead letters.
        unknown: what happens, without a fallback handler, to an event whose name the contract does not have. ``skip``:
            it is acked and counted, so that a consumer may know a part of a stream's events. ``dead-letter``: it goes
            to the dead letters, as an unknown version of a known event always does.
        max_events: stop after so many events were acked or dead-lettered, by all URIs together; None means never.
        until: ``"empty"``: stop when the group has nothing left, as ``Subscription.until_idle`` waits for it; so a job
            that runs now and then handles what is there. Those of one worker stop together, when none has anything
            left at the same time; if no other subscription goes on, archivers archive the rest and end too. None means
            never.
        drain: how long running handlers may go on after a stop before they are cancelled. A stop takes at most 3 s
            more, even when Redis does not answer.
        start: where the group begins if it does not exist yet: ``"beginning"``, ``"now"``, an event key or an aware
            time. It has no effect on a group that exists, which is logged unless it is ``"beginning"``. A group that
            vanished begins at the beginning. If retention has removed events after it, the group begins with those
            that are still there, which is logged.
        prefetch: at most how many events are taken ahead, beyond those being handled. With slow handlers it is fewer,
            about a second's work, so that other consumers get their share. With batch handlers the largest batch may be
            taken ahead, and twice as much if they are fast; what waits in a batch that is not due does not count.
        prefetch_bytes: at most how many bytes of payloads are in memory, as they were encoded: those being loaded, and
            those loaded, from then on until their event has ended, handlers that run included. An event that does not
            fit waits, and is loaded when it does; one larger than the bound, when no other is loaded. Inline payloads
            count, but come with their entries and do not wait. Each of several URIs gets an equal part.
        max_waiting: how many events may wait here for an outage of their storage, or for a manual ack, before reading
            stops.
        max_parked: how many failed events of the group may wait for their next attempt; beyond that they wait here,
            and reading stops.
        alone_for: how long an event that may have ended its process runs with nothing beside it.
        consumer_name: the first part of this consumer's name within the group, the rest is random; None takes host
            and process.
        tracing: ``parent``: the span of an attempt is a child of the span that produced the event, so that a flow of
            events is one trace. ``link``: it begins a separate trace, linked to that span: for flows without an end.
        origin: which events are handled: ``any``, those ``produced`` to this stream itself, or those ``forwarded`` to
            it. Others are acked and counted.
    """

    concurrency: int = 10
    lease: timedelta = timedelta(seconds=60)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    ack: AckPolicy = "on-success"
    unknown: UnknownPolicy = "skip"
    max_events: int | None = None
    until: Until | None = None
    drain: timedelta = timedelta(seconds=20)
    start: Start = "beginning"
    prefetch: int = 200
    prefetch_bytes: int = 64 * 1024 * 1024
    max_waiting: int = 1000
    max_parked: int = 5000
    alone_for: timedelta = timedelta(seconds=10)
    consumer_name: str | None = None
    tracing: Tracing = "parent"
    origin: OriginFilter = "any"

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        self._check_counts_and_policies()
        check_origin(self.origin)
        if self.max_events is not None and self.max_events < 1:
            raise ConfigurationError(f"max_events must be 1 or more, or None, not {self.max_events}.")
        if self.until not in {None, "empty"}:
            raise ConfigurationError(f'until must be "empty" or None, not {self.until!r}.')
        if self.lease < _SHORTEST_LEASE:
            raise ConfigurationError("lease must be 100 ms or more; 60 s is usual.")
        for name in ("drain", "alone_for"):
            if getattr(self, name) < timedelta():
                raise ConfigurationError(f"{name} must not be negative.")
        if self.consumer_name is not None and not self.consumer_name:
            raise ConfigurationError("consumer_name must not be empty; leave it out to get one from host and process.")
        check_start("start", self.start)

    def _check_counts_and_policies(self) -> None:
        for name in ("concurrency", "prefetch", "prefetch_bytes", "max_waiting", "max_parked"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        for name, policies in _POLICIES.items():
            if getattr(self, name) not in policies:
                choices = f"{', '.join(policies[:-1])} or {policies[-1]}"
                raise ConfigurationError(f"{name} must be {choices}, not {getattr(self, name)!r}.")
