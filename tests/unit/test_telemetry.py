"""Metrics: what is counted, and every one documented."""

import asyncio
from pathlib import Path

import pytest

from event_backbone import telemetry
from event_backbone.errors import ArgumentsInvalid
from event_backbone.testing.memory import memory_backbone
from tests.support.metrics import CountedMetrics
from tests.support.shipment import ShipmentTracking

ROOT = Path(__file__).parents[2]


async def test_produced_events_and_failures_are_counted() -> None:
    """By URI and event; failures by the type of their error. A call with wrong arguments is not counted."""
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


def test_names_are_unique_and_complete() -> None:
    """Every metric has one name, a unit and a sentence."""
    names = [metric.name for metric in telemetry.METRICS]
    assert len(set(names)) == len(names)
    for metric in telemetry.METRICS:
        assert metric.name.startswith("event_backbone.")
        assert metric.unit
        assert metric.description.endswith(".")


def test_the_reference_lists_every_metric() -> None:
    """docs/reference/metrics.md has one row per metric, exactly as it is declared."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text().partition("## Metrics")[2]
    rows = [line for line in page.splitlines() if line.startswith("| `event_backbone.")]
    assert rows == [
        f"| `{metric.name}` | {metric.kind} | `{metric.unit}` | {', '.join(metric.attributes)} | {metric.description} |"
        for metric in telemetry.METRICS
    ]
