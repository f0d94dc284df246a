"""Collects the spans of this process with OpenTelemetry's SDK."""

from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@cache
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


class CollectedSpans:
    """What was traced in this process since its creation."""

    def __init__(self) -> None:
        _exporter().clear()

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the finished spans of this name, in the order of their ends."""
        return [span for span in _exporter().get_finished_spans() if span.name == name]
