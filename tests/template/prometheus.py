"""What Prometheus knows of the runtime's metrics, and a parser of its language."""

import re
from collections.abc import Callable
from importlib import import_module

from event_backbone.telemetry import METRICS, Metric

UNITS = {"s": "seconds", "By": "bytes", "1": "ratio"}
_ADDED = {"le"}

parse_query: Callable[[str], object] = vars(import_module("promql_parser"))["parse"]
"""Raises ValueError for what Prometheus would not read; the package has no types."""


def in_prometheus(metric: Metric) -> set[str]:
    """The series of a metric: dots become underscores, a unit its name, a counter a total; braces are remarks.

    A unit that the name has already is not added.
    """
    name = metric.name.replace(".", "_")
    unit = "" if metric.unit.startswith("{") else UNITS[metric.unit]
    if unit and unit not in name.split("_"):
        name = f"{name}_{unit}"
    if metric.kind == "counter":
        return {f"{name}_total"}
    return {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if metric.kind == "histogram" else {name}


SERIES = {name: metric for metric in METRICS for name in in_prometheus(metric)}


def series_of(query: str) -> set[str]:
    """The names of the series that a query asks for."""
    return set(re.findall(r"event_backbone_\w+", query))


def grouped_by(query: str) -> set[str]:
    """The labels that the result of a query has."""
    return {label.strip() for labels in re.findall(r"by \(([^)]*)\)", query) for label in labels.split(",")}


def unknown_labels(query: str) -> set[str]:
    """The labels that a query asks for and not all of its series have."""
    asked = set(re.findall(r"(\w+)!?=~?\"", query)) | grouped_by(query)
    known = [set[str](SERIES[name].attributes) for name in series_of(query)]
    return asked - set[str].intersection(*known) - _ADDED
