"""Every span of this package: produce calls, attempts of the handlers, calls to payload storages.

Names and attributes are OpenTelemetry's for messaging, as far as it has them; our own begin with ``event_backbone``. No
attribute has a payload's value. It uses only OpenTelemetry's API: the application chooses the SDK, and without one
spans cost next to nothing. ``SPANS`` lists all of them, for the docs and tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Literal, Self, cast

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from event_backbone import telemetry
from event_backbone.model import EventKey, Metadata
from event_backbone.place import type_name

Trace = Context  # where spans belong that are opened now
Tracing = Literal["parent", "link"]
"""How the span of a handled event belongs to the span that produced it."""

SPANS: Mapping[str, str] = MappingProxyType(
    {
        "produce": "`produce <event>`, PRODUCER: a produce call, from its arguments to the event key.",
        "handle": "`handle <event>`, CONSUMER: one attempt of the handlers, in the trace of the event's producer.",
        "batch": "`handle batch <event>`, CONSUMER: one call of a batch handler, linked to its events' `handle` spans.",
        "storage": "`save <storage>` and `load <storage>`, CLIENT: one call to a payload storage.",
    }
)

_ROOT = Context()
current_trace = otel_context.get_current
_LINKS = otel_context.create_key("event_backbone.links")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ERROR_TYPE = "error.type"

_tracer = trace.get_tracer("event_backbone")


def tracing() -> bool:
    """Return whether the application has set up an SDK for spans, in code or by the environment."""
    return not isinstance(trace.get_tracer_provider(), (trace.ProxyTracerProvider, trace.NoOpTracerProvider))


class EventSpan:
    """Replaces the span of an event when no span is recorded and no trace continues: does nothing."""

    __slots__ = ()

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the trace to whoever handles the event."""
        return _NO_HEADERS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def identify(self, event_id: str, correlation_id: str | None) -> None:
        """Record which event it is; None is the first event of a correlation."""

    def appended(self, key: EventKey) -> None:
        """Record where the event is in the stream."""


NOT_TRACED = EventSpan()


class _ActiveSpan(EventSpan):
    """Makes a span the current one; of a failure it records only the type, as the text may quote a payload."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def headers(self) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        return headers

    def __enter__(self) -> Self:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)
        if error is not None:
            _fail(self._span, type_name(error))
        self._span.end()

    def identify(self, event_id: str, correlation_id: str | None) -> None:
        self._span.set_attributes(_identity(event_id, correlation_id or event_id))

    def appended(self, key: EventKey) -> None:
        self._span.set_attribute("event_backbone.key", str(key))


def _opened(span: Span) -> EventSpan:
    return _ActiveSpan(span) if span.get_span_context().is_valid else NOT_TRACED


class ProduceSpans:
    """The spans of produce calls to one stream."""

    def __init__(self, destination: str) -> None:
        """Trace what goes to the stream with this Redis key."""
        self._destination = destination
        self._known: dict[str, tuple[str, telemetry.Attributes]] = {}

    def producing(self, event: str) -> EventSpan:
        """Open the span of a call, inside the caller's span if there is one."""
        name, attributes = self._known.get(event) or self._describe(event)
        span = _tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        return NOT_TRACED if span is trace.INVALID_SPAN else _opened(span)  # without an SDK it is that one

    def _describe(self, event: str) -> tuple[str, telemetry.Attributes]:
        described = f"produce {event}", _operation("produce", "send", self._destination, event)
        self._known[event] = described
        return described


class HandleSpans:
    """The spans of what one consumer group does with the events of a stream."""

    def __init__(self, destination: str, group: str, tracing: Tracing = "parent") -> None:
        """Trace what comes from the stream with this Redis key; a replay has no group, so an empty one."""
        self._destination = destination
        self._group = group
        self._linked = tracing == "link"

    def handling(self, metadata: Metadata, attempt: int) -> EventSpan:
        """Open the span of one attempt: a child of the producer's, or the root of a new trace that is linked to it."""
        event, headers = metadata.event, metadata.headers
        span = _tracer.start_span(
            f"handle {event}",
            context=_ROOT if self._linked else _origin(headers),
            kind=SpanKind.CONSUMER,
            attributes={
                **_operation("handle", "process", self._destination, event),
                **_identity(str(metadata.event_id), metadata.correlation_id),
                **({"messaging.consumer.group.name": self._group} if self._group else {}),
                "event_backbone.key": str(metadata.key),
                "event_backbone.attempt": attempt,
            },
            links=_links([headers]) if self._linked else None,
        )
        return _opened(span)

    def batch(self, event: str, traces: Sequence[Trace]) -> EventSpan:
        """Open the span of one call of a batch handler: a root, linked to these spans of its events."""
        attributes = _operation("handle", "process", self._destination, event)
        attributes |= {"messaging.consumer.group.name": self._group, "messaging.batch.message_count": len(traces)}
        links = [Link(trace.get_current_span(each).get_span_context()) for each in traces]
        return _opened(_tracer.start_span(f"handle batch {event}", _ROOT, SpanKind.CONSUMER, attributes, links))

    def loading(self, events: Sequence[Metadata]) -> AbstractContextManager[None]:
        """Let the storage calls of the block belong to these events.

        Those of a single event are children of its producer's span, like its attempts. Those of several are linked to
        the producers' spans, since a span has one parent.
        """
        headers = [event.headers for event in events]
        if len(headers) == 1 and not self._linked:
            return continued(_origin(headers[0]))
        return continued(otel_context.set_value(_LINKS, _links(headers), _ROOT))


class continued(AbstractContextManager[None, None]):  # noqa: N801 - reads as a verb: `with continued(trace):`
    """Makes an OpenTelemetry context the current one."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = otel_context.attach(self._context)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        otel_context.detach(self._token)


class storage_call:  # noqa: N801 - reads as a verb: `with storage_call("s3", "save"):`
    """Measure one call to a payload storage, whether it fails or not, and trace it if somebody traces.

    ``traced`` says whether anybody does, if the caller knows; asking costs a microsecond.
    """

    __slots__ = ("_attributes", "_payloads", "_span", "_start", "_token", "_traced")

    def __init__(
        self, storage: str, operation: Literal["save", "load"], payloads: int = 1, *, traced: bool | None = None
    ) -> None:
        self._attributes = _storage_attributes(storage, operation)
        self._payloads = payloads
        self._traced = tracing() if traced is None else traced
        self._span: Span | None = None

    def __enter__(self) -> Self:
        if self._traced:
            span = _tracer.start_span(
                f"{self._attributes['operation']} {self._attributes['storage']}",
                kind=SpanKind.CLIENT,
                attributes={
                    "event_backbone.storage": self._attributes["storage"],
                    "event_backbone.payloads": self._payloads,
                },
                links=cast("Sequence[Link] | None", otel_context.get_value(_LINKS)),
            )
            self._token = otel_context.attach(trace.set_span_in_context(span))
            self._span = span
        self._start = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        telemetry.payload_duration.record(perf_counter() - self._start, self._attributes)
        if self._span is not None:
            otel_context.detach(self._token)
            if error is not None:
                _fail(self._span, type_name(error))
            self._span.end()

    @property
    def traced(self) -> bool:
        """Whether the call has a span, which then wants to know what failed without being raised."""
        return self._traced

    def failed(self, error: Exception) -> None:
        """Record the type of what was not raised."""
        if self._span is not None:
            _fail(self._span, type_name(error))


@lru_cache(maxsize=256)
def _storage_attributes(storage: str, operation: str) -> telemetry.Attributes:
    return MappingProxyType({"storage": storage, "operation": operation})


def _operation(name: str, kind: str, destination: str, event: str) -> dict[str, str | int]:
    return {
        "messaging.system": "redis",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
        "event_backbone.event": event,
    }


def _identity(event_id: str, correlation_id: str) -> dict[str, str | int]:
    return {"messaging.message.id": event_id, "messaging.message.conversation_id": correlation_id}


def _origin(headers: Mapping[str, str]) -> Context:
    """Return the context in which an event was produced; the root when its headers have no trace."""
    return propagate.extract(headers, context=_ROOT) if headers else _ROOT


def _links(headers: Sequence[Mapping[str, str]]) -> list[Link]:
    origins = (trace.get_current_span(_origin(each)).get_span_context() for each in headers)
    return [Link(origin) for origin in origins if origin.is_valid]


def record_failure(error: str, place: Sequence[str]) -> None:
    """Record in the current span that handlers failed: the error's type, and where it was raised."""
    span = trace.get_current_span()
    _fail(span, error)
    stack: dict[str, str | bool] = {
        "exception.type": error,
        "exception.stacktrace": "\n".join([error, *place]),
        "exception.escaped": True,
    }
    span.add_event("exception", stack)


def _fail(span: Span, error: str) -> None:
    span.set_attribute(_ERROR_TYPE, error)
    span.set_status(Status(StatusCode.ERROR, error))
