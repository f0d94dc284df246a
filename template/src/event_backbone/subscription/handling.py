"""One attempt at one event: from its loaded payload, through decoding, interceptors and handlers, to a decision."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar

from event_backbone import telemetry
from event_backbone.consumer import Consumer, Context, Handler
from event_backbone.contract import Contract, decode_event, definition_for
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import (
    DecodeError,
    EntryUnreadable,
    PayloadErased,
    PayloadNotGiven,
    StorageError,
    UnknownEvent,
    UnknownVersion,
)
from event_backbone.interceptors import HandleInterceptor
from event_backbone.model import EventKey, Metadata, NewDeadLetter, OriginFilter, PartialPayload
from event_backbone.model.correlation import reset_current_event, set_current_event
from event_backbone.place import place_of, type_name
from event_backbone.policy import AckPolicy, RetryLater, RetryPolicy, UnknownPolicy
from event_backbone.spans import NOT_TRACED, EventSpan, HandleSpans, Trace, record_failure, tracing
from event_backbone.stream.base import FollowUps
from event_backbone.subscription.calls import within
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.outcome import FINISHED, Finished, Outcome, is_rejected, log_outcome
from event_backbone.subscription.partial import decode_delivery
from event_backbone.subscription.routes import Routes

_log = logging.getLogger(__name__)

T = TypeVar("T")

OnFailure = Callable[[Metadata, BaseException], None]
"""Is told of each failed attempt: which event, and what was raised. It must not raise."""

_MOST_NAMES_LOGGED = 1000


class Handling:
    """Calls the handlers of one consumer, and decides what the outcome means.

    Between events it keeps only which skipped ones were logged. It raises only what must end the process, and
    cancellations from outside.
    """

    def __init__(
        self,
        consumer: Consumer[Contract, Any],
        *,
        services: object = None,
        on_failure: OnFailure | None = None,
        interceptors: Sequence[HandleInterceptor] = (),
        retry: RetryPolicy,
        ack: AckPolicy,
        unknown: UnknownPolicy = "skip",
        origin: OriginFilter = "any",
        attributes: Mapping[str, str],
        spans: HandleSpans,
        leases: FollowUps,
        group: str,
    ) -> None:
        """Call the handlers of ``consumer`` in ``group`` with ``services``; a replay has no group, so an empty one.

        ``attributes`` go with every metric, ``spans`` trace. By ``leases`` handlers produce events once.
        """
        self._services = services
        self._on_failure = on_failure
        self._consumer = consumer
        self._contract = consumer.contract
        self._interceptors = tuple(interceptors)
        self._retry = retry
        self._ack = ack
        self._unknown = unknown
        self._spans = spans
        self._leases = leases
        self._group = group
        self._tracing = True
        self.routes = Routes(consumer, attributes, origin)
        self.largest_batch = consumer.largest_batch
        self._logged: set[tuple[str, str]] = set()

    def begin_batch(self) -> None:
        """Check whether anybody traces, once for many events (fast path, see decision 0010)."""
        self._tracing = tracing()

    def loading(self, events: Sequence[LoadedEvent]) -> AbstractContextManager[None]:
        """Let the storage calls of the block be traced as those of these events, if anybody traces."""
        return self._spans.loading([each.metadata for each in events]) if self._tracing else nullcontext()

    def unreadable(self, error: EntryUnreadable) -> Outcome:
        """Return what is to happen to an entry whose metadata cannot be read."""
        _log.error("%s It goes to the dead letters.", error)
        return self._retry.decide(1, error)

    def context_of(
        self, metadata: Metadata, entry: EventKey, attempt: int, ack: Callable[[T], Awaitable[None]], event: T
    ) -> HandledEvent:
        """Return what handlers get, and their producers see, of an attempt at an event, which ``entry`` delivered.

        ``ack(event)`` acks the event.
        """
        return HandledEvent(metadata, entry, attempt, ack, event, self._services, self._leases, self._group)

    async def handle(self, event: LoadedEvent, ctx: HandledEvent, attempts: int) -> Outcome:
        """Call an event's handlers, and return what is to happen to it.

        ``attempts`` is the number of this attempt as the retry policy counts. What the handlers produce
        meanwhile is caused by this event. Run it as a task: a cancellation passes
        through; unless it was the caller's own, the caller passes it to ``failed``.
        """
        attributes = event.route.attributes
        try:
            call, arguments = self.decode(event, ctx)
        except (DecodeError, StorageError) as error:
            return self.refused(ctx, attempts, error)
        if call is None:
            if event.route.other_origin:
                return self._skipped(ctx.metadata, "origin", "it is not of the wanted origin")
            telemetry.unhandled.add(1, attributes)
            return Finished("no-handler")
        failed: Outcome | None = None
        token, start = set_current_event(ctx), perf_counter()
        try:
            if self._tracing or self._interceptors:
                failed = await self._call_within(call, arguments, ctx, attempts)
            else:
                await call(ctx, **arguments)
        except Exception as error:  # noqa: BLE001 - handlers are the users' code and may raise anything
            failed = self.failed(ctx, attempts, error)
        finally:
            reset_current_event(token)
            telemetry.handle_duration.record(perf_counter() - start, attributes)
        return self.succeeded(event, ctx, attempts) if failed is None else failed

    def decode(self, event: LoadedEvent, ctx: HandledEvent) -> tuple[Handler | None, dict[str, object]]:
        """Return what handles the event, and its arguments; let go of its payload.

        Raises DecodeError and StorageError, which are for ``refused``.
        """
        payload, route = event.payload, event.route
        if route.decode is not None and isinstance(payload, dict) and not isinstance(payload, PartialPayload):
            call, arguments = route.call, route.decode(payload)
        else:
            call, arguments = (None, {}) if route.other_origin else self._call_for(event, ctx)
        event.payload = None  # the arguments are enough
        return call, arguments

    def succeeded(self, event: LoadedEvent, ctx: HandledEvent, attempts: int) -> Outcome:
        """Return what is to happen to an event whose handlers returned."""
        if self._ack == "manual" and not ctx.acked:
            return RetryLater(self._retry.delay(attempts + event.repeats), counts=False)
        telemetry.handled.add(1, event.route.attributes)
        return FINISHED

    @property
    def acks_manually(self) -> bool:
        """Whether an event whose handlers returned comes again unless they acked it."""
        return self._ack == "manual"

    @property
    def wraps(self) -> bool:
        """Whether anything is around each attempt: a span, or interceptors."""
        return self._tracing or bool(self._interceptors)

    def _call_for(self, event: LoadedEvent, ctx: HandledEvent) -> tuple[Handler | None, dict[str, object]]:
        """Return what handles the event, to be called with its context and these arguments; None when nothing does.

        Of a partial payload the context's metadata then names what is missing.
        """
        metadata, payload = event.metadata, event.payload
        if payload is None:
            definition_for(self._contract, metadata.event, metadata.version)
            return None, {}
        if isinstance(payload, StorageError):
            raise payload
        try:
            if isinstance(payload, PartialPayload):
                _, arguments = decode_delivery(self._contract, payload, ctx, event.route.attributes)
            else:
                _, arguments = decode_event(self._contract, metadata.event, metadata.version, payload)
        except (UnknownEvent, UnknownVersion):
            if self._consumer.fallback_handler is None:
                raise
        else:
            if event.route.call is not None:
                return event.route.call, arguments
        fallback = self._consumer.fallback_handler
        if fallback is None:
            return None, {}
        stored = StoredEvent(ctx.metadata, payload, event.references)

        def call(ctx: Context[Any]) -> Awaitable[None]:
            return fallback(ctx, stored)

        return call, {}

    async def _call_within(
        self, call: Handler, arguments: Mapping[str, object], ctx: HandledEvent, attempts: int
    ) -> Outcome | None:
        """Call within a span and all interceptors, the first one outermost; return what a failure was decided to mean.

        A failure is decided within the span, so that its log line has the trace.
        """
        inner: Callable[[Context[Any]], Awaitable[None]] = functools.partial(call, **arguments)
        for interceptor in reversed(self._interceptors):
            inner = within(interceptor, inner)
        with self._spans.handling(ctx.metadata, ctx.attempt) if self._tracing else NOT_TRACED:
            try:
                await inner(ctx)
            except BaseException as error:
                place = self.place_of(error)
                record_failure(type_name(error), place)
                if isinstance(error, Exception):
                    return self._failed(ctx, attempts, error, place)
                raise
        return None

    def place_of(self, error: BaseException) -> tuple[str, ...]:
        """Return where handlers raised ``error``, as ``place_of`` does."""
        return place_of(error, handlers=self._consumer.codes())

    def refused(self, ctx: HandledEvent, attempts: int, error: DecodeError | StorageError) -> Outcome:
        """Return what is to happen to an event whose payload is missing, or cannot be decoded."""
        if isinstance(error, PayloadErased):
            return self._skipped(ctx.metadata, "erased", "it was erased")
        if isinstance(error, PayloadNotGiven):
            return self._skipped(ctx.metadata, "not-given", "this program was not given its payload, on purpose")
        if isinstance(error, UnknownEvent) and self._unknown == "skip":
            return self._skipped(ctx.metadata, "unknown-event", f"{self._contract.__name__} does not have it")
        if self._on_failure is not None:
            self._on_failure(ctx.metadata, error)
        decision: Outcome = self._retry.decide(attempts, error)
        if error.__cause__ is not None and isinstance(decision, NewDeadLetter):
            decision = replace(decision, place=place_of(error))  # an upcaster raised it
        elif isinstance(decision, RetryLater):
            decision = replace(decision, error=type_name(error))
        log_outcome(ctx, decision, "Event %s cannot be handled: %s It %s.", ctx.metadata.key, error)
        return decision

    def _skipped(self, metadata: Metadata, reason: str, words: str) -> Outcome:
        """Count an event that only needs its ack; log the first of each name."""
        telemetry.skipped.add(1, {**self.routes.attributes_of(metadata.event), "reason": reason})
        if (reason, metadata.event) not in self._logged and len(self._logged) < _MOST_NAMES_LOGGED:
            self._logged.add((reason, metadata.event))
            text = "Event %s (%r) is skipped: %s. Others of this name are only counted."
            _log.info(text, metadata.key, metadata.event, words)
        return Finished(reason)

    def failed(
        self, ctx: HandledEvent, attempts: int, error: BaseException, place: tuple[str, ...] | None = None
    ) -> Outcome:
        """Return what is to happen to an event whose handlers raised ``error``, or were cancelled; ``place``: where."""
        return self._failed(ctx, attempts, error, self.place_of(error) if place is None else place)

    def batch_span(self, event: str, traces: Sequence[Trace]) -> EventSpan:
        """Open the span of one call of a batch handler."""
        return self._spans.batch(event, traces) if self._tracing else NOT_TRACED

    def _failed(self, ctx: HandledEvent, attempts: int, error: BaseException, place: tuple[str, ...]) -> Outcome:
        if self._on_failure is not None:
            self._on_failure(ctx.metadata, error)
        decided = self._retry.decide(attempts, error, handling=True)
        decision: Outcome
        if ctx.acked or (self._ack == "always" and not is_rejected(decided)):
            decision = FINISHED
        elif isinstance(decided, NewDeadLetter):
            decision = replace(decided, place=place)
        else:
            decision = replace(decided, error=type_name(error), place=place)
        log_outcome(
            ctx,
            decision,
            "Event %s (%s) failed on attempt %d with %s at %s. It %s.",
            ctx.metadata.key,
            ctx.metadata.event,
            ctx.attempt,
            type_name(error),
            " > ".join(place) or "an unknown place",
        )
        return decision
