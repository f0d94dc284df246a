"""Reads what the runtime's metrics have counted since the last look."""

from collections import Counter
from functools import cache

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter as CounterInstrument
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)

Counted = Counter[tuple[str, frozenset[tuple[str, object]]]]


@cache
def _reader() -> InMemoryMetricReader:
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader(preferred_temporality={CounterInstrument: delta, HistogramInstrument: delta})
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


class CountedMetrics:
    """What was counted in this process since its creation."""

    def __init__(self) -> None:
        self._seen: Counted = Counter()
        self._latest: Counted = Counter()
        _reader().collect()
        _reader().get_metrics_data()

    def count(self, name: str, **attributes: str) -> int:
        """Return how much a counter has risen, or how often a histogram was recorded, with these attributes."""
        self._collect()
        wanted = set(attributes.items())
        return sum(n for (metric, found), n in self._seen.items() if metric == name and wanted <= found)

    def begun(self, name: str, **attributes: str) -> bool:
        """Return whether a counter with these attributes was sent, perhaps as 0: only then is its first rise seen."""
        self._collect()
        return (name, frozenset(attributes.items())) in self._seen

    def latest(self, name: str, **attributes: str) -> int:
        """Return what a gauge was last set to for exactly these attributes."""
        self._collect()
        return self._latest[name, frozenset(attributes.items())]

    def _collect(self) -> None:
        data = _reader().get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        found = metric.name, frozenset((point.attributes or {}).items())
                        if isinstance(point, HistogramDataPoint):
                            self._seen[found] += point.count
                        elif isinstance(point, NumberDataPoint):
                            self._seen[found] += int(point.value)
                            self._latest[found] = int(point.value)
