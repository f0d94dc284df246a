"""OpenTelemetry's SDK and its exporters for OTLP over HTTP, and an exit that does not wait for a dead collector.

By themselves the exporters retry for ten seconds each, one after the other, and the exit waits for them.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Sequence
from threading import Event, Thread
from time import monotonic

from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

_SHORTEST_SECONDS = 0.5
_LONGEST_SECONDS = 1.5
_SHARE = 0.1

_log = logging.getLogger("event_backbone.otlp")


def start(service_name: str, *, traces: bool, metrics: bool) -> None:
    """Set up the SDK for the signals that are wanted; the OTEL_* variables say how."""
    named = OTELResourceDetector().detect().attributes.get(SERVICE_NAME)
    resource = Resource.create({SERVICE_NAME: named or service_name})
    ending = _Ending()
    if traces:
        tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(_SpanExporter(ending)))
        trace_api.set_tracer_provider(tracers)
        ending.add(tracers.shutdown)
    if metrics:
        reader = PeriodicExportingMetricReader(_MetricExporter(ending))
        meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        metrics_api.set_meter_provider(meters)
        ending.add(meters.shutdown)
    ending.prepare()


class _Ending:
    """The end of the process: spans and metrics are sent a last time, at the same time, within a limit.

    What sends them are threads that wait for it from the beginning: an exiting interpreter starts none.
    """

    def __init__(self) -> None:
        self._begun = Event()
        self._started_at = monotonic()
        self._deadline: float | None = None
        self._threads: list[Thread] = []
        self._send_last: list[Callable[[], None]] = []
        self._give_up: list[Callable[[], None]] = []

    def add(self, send_last: Callable[[], None]) -> None:
        """Call this in the end."""
        self._send_last.append(send_last)

    def give_up_by(self, give_up: Callable[[], None]) -> None:
        """Call this before anything is sent, to end waits for another try."""
        self._give_up.append(give_up)

    def prepare(self) -> None:
        """Wait for the end of this process, and of each that is forked from it."""
        self._start_threads()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_threads)
        atexit.register(self._end)

    @property
    def left_seconds(self) -> float | None:
        """How much time is left for the last try; None while there is no end in sight."""
        return None if self._deadline is None else max(self._deadline - monotonic(), 0.01)

    def _start_threads(self) -> None:
        self._begun = Event()
        self._threads = [
            Thread(target=self._wait, args=(self._begun, each), name="event-backbone-otlp", daemon=True)
            for each in self._send_last
        ]
        for thread in self._threads:
            thread.start()

    def _wait(self, begun: Event, send_last: Callable[[], None]) -> None:
        begun.wait()
        send_last()

    def _end(self) -> None:
        now = monotonic()
        self._deadline = now + min(max((now - self._started_at) * _SHARE, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        for give_up in self._give_up:
            give_up()
        self._begun.set()
        for thread in self._threads:
            thread.join(self.left_seconds)
        if any(thread.is_alive() for thread in self._threads):
            # A thread that logs while the interpreter is finalized would crash it.
            logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
            _log.warning("The OpenTelemetry collector did not answer in time: the last spans or metrics are lost.")


class _SpanExporter(OTLPSpanExporter):
    """Retries while the process runs, and tries once in the end."""

    def __init__(self, ending: _Ending) -> None:
        super().__init__()
        self._ending = ending
        ending.give_up_by(super().shutdown)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        left_seconds = self._ending.left_seconds
        return super().export(spans) if left_seconds is None else OTLPSpanExporter(timeout=left_seconds).export(spans)

    def shutdown(self) -> None:
        """Do nothing: the end has done it before."""


class _MetricExporter(OTLPMetricExporter):
    """Retries while the process runs, and tries once in the end."""

    def __init__(self, ending: _Ending) -> None:
        super().__init__()
        self._ending = ending
        ending.give_up_by(super().shutdown)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float | None = 10_000,  # noqa: ARG002 - the exporter itself ignores it
        **kwargs: object,  # noqa: ARG002
    ) -> MetricExportResult:
        left_seconds = self._ending.left_seconds
        if left_seconds is None:
            return super().export(metrics_data)  # pyright: ignore[reportUnknownMemberType] - its **kwargs
        last = OTLPMetricExporter(timeout=left_seconds)
        return last.export(metrics_data)  # pyright: ignore[reportUnknownMemberType]

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Do nothing: the end has done it before."""
