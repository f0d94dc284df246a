"""Collects spans with OpenTelemetry's SDK, for one test: the next one is not traced unless it collects its own."""

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from event_backbone import spans


class CollectedSpans:
    """What is traced in this process from its creation to the end of the test."""

    def __init__(self) -> None:
        stop_tracing()
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        trace.set_tracer_provider(provider)

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the finished spans of this name, in the order of their ends."""
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only finished span of this name."""
        (span,) = self.named(name)
        return span

    def all(self) -> list[ReadableSpan]:
        """Return every finished span, in the order of their ends."""
        return list(self._exporter.get_finished_spans())


def stop_tracing() -> None:
    """Return to no SDK. OpenTelemetry has no call for it: a process sets its provider once, and tracers remember it."""
    for tracer in [each for each in vars(spans).values() if isinstance(each, trace.ProxyTracer)]:
        vars(tracer)["_real_tracer"] = None
    names = trace.__dict__
    if names["_TRACER_PROVIDER"] is not None:
        names["_TRACER_PROVIDER"] = None
        names["_TRACER_PROVIDER_SET_ONCE"] = type(names["_TRACER_PROVIDER_SET_ONCE"])()


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    return int(span.context.span_id)


def trace_of(span: ReadableSpan) -> int:
    """Return the id of a span's trace."""
    assert span.context is not None
    return int(span.context.trace_id)


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent; None is a root."""
    return None if span.parent is None else span.parent.span_id
