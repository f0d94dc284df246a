"""Spans and metrics: linked across the stream, documented, silent about payloads, free without an SDK."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from event_backbone import telemetry
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import ArgumentsInvalid
from event_backbone.testing.memory import memory_backbone
from tests.support.metrics import CountedMetrics
from tests.support.shipment import ShipmentTracking
from tests.support.spans import CollectedSpans

ROOT = Path(__file__).parents[2]
URI = "shipments"

# Prints the microseconds that one use costs in a process where no SDK is set up.
COST = """
import timeit
from event_backbone import telemetry

attributes = {"uri": "shipments", "event": "note"}

def produce():
    with telemetry.producing("note", attributes):
        pass

def handle():
    with telemetry.handling("note", attributes, {}):
        pass

def count():
    telemetry.produced.add(1, attributes)

for use in (produce, handle, count):
    print(min(timeit.repeat(use, number=2000, repeat=25)) / 2000 * 1e6)
"""


async def test_the_handlers_span_is_linked_to_the_producers() -> None:
    """Producing is a PRODUCER span within the caller's; handling is a CONSUMER span in another trace, linked to it."""
    spans = CollectedSpans()
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def handle(ctx: Context, text: str) -> None:
        pass

    async with memory_backbone() as backbone, asyncio.timeout(10):
        with trace.get_tracer("application").start_as_current_span("request"):
            await backbone.producer(ShipmentTracking, uri=URI).note("x")
        async with backbone.subscribe(consumer, uri=URI, group="g", max_events=1) as subscription:
            await subscription.wait()
    (request,), (produced,), (handled,) = (spans.named(name) for name in ("request", "produce note", "handle note"))
    assert (produced.kind, handled.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert produced.parent is not None
    assert request.context is not None
    assert produced.context is not None
    assert handled.context is not None
    assert produced.parent.span_id == request.context.span_id
    assert handled.parent is None
    assert handled.context.trace_id != produced.context.trace_id
    assert [link.context.span_id for link in handled.links] == [produced.context.span_id]


async def test_what_a_handler_produces_is_traced_within_its_span() -> None:
    """So a trace shows what an event set off."""
    spans = CollectedSpans()
    with telemetry.handling("outer", {}, {}):
        async with memory_backbone() as backbone:
            await backbone.producer(ShipmentTracking, uri=URI).note("x")
    (outer,), (inner,) = spans.named("handle outer"), spans.named("produce note")
    assert outer.context is not None
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


async def test_a_failed_span_has_the_type_of_the_error_and_no_more() -> None:
    """Promise 9: an error's text may quote the payload, so it is not traced."""
    spans = CollectedSpans()
    with pytest.raises(ValueError, match="secret"), telemetry.producing("broken", {}):
        raise ValueError("a secret")
    (span,) = spans.named("produce broken")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError"
    assert not span.events
    assert "secret" not in str(span.to_json())


async def test_produced_events_and_failures_are_counted() -> None:
    """By URI and event; failures by the type of their error. A call with wrong arguments is not counted."""
    CollectedSpans()
    counted = CountedMetrics()
    async with memory_backbone() as backbone:
        producer = backbone.producer(ShipmentTracking, uri="counted")
        await asyncio.gather(*(producer.note(str(number)) for number in range(5)))
        with pytest.raises(ArgumentsInvalid):
            await producer.note(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Exception, match="closed"):
        await producer.note("too late")
    assert counted.count("event_backbone.produced", uri="counted", event="note") == 5
    assert counted.count("event_backbone.produce_failed", uri="counted", error="BackboneClosed") == 1


def test_without_an_sdk_telemetry_costs_next_to_nothing() -> None:
    """Less than 2 microseconds an event on a quiet machine; a tenfold margin is left for a busy one."""
    ran = subprocess.run(
        [sys.executable, "-c", COST],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "template" / "src")},
    )
    costs = [float(line) for line in ran.stdout.split()]
    assert len(costs) == 3
    assert max(costs) < 20


def test_names_are_unique_and_complete() -> None:
    """Every metric has one name, a unit and a sentence."""
    names = [metric.name for metric in telemetry.METRICS]
    assert len(set(names)) == len(names)
    for metric in telemetry.METRICS:
        assert metric.name.startswith("event_backbone.")
        assert metric.unit
        assert metric.description.endswith(".")


def test_the_reference_lists_every_metric_and_span() -> None:
    """docs/reference/metrics.md has one row per metric, exactly as it is declared."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `event_backbone.")]
    assert rows == [
        f"| `{metric.name}` | {metric.kind} | `{metric.unit}` | {', '.join(metric.attributes)} | {metric.description} |"
        for metric in telemetry.METRICS
    ]
    for description in telemetry.SPANS.values():
        assert description in page
