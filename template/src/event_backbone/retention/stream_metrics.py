"""The metrics of a stream: how large and how old it is, and how full its Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone import telemetry
from event_backbone.model import StreamName
from event_backbone.retention.due import due_before

if TYPE_CHECKING:
    from event_backbone.stream.redis.retaining import RedisRetaining


class StreamMetrics:
    """Measures one stream. Every process reports it, as nobody knows which one carries retention out."""

    def __init__(self, stream: StreamName, retaining: RedisRetaining, max_age: timedelta | None) -> None:
        """Measure this stream, whose events are to be no older than ``max_age``."""
        self._attributes = {"uri": stream.uri}
        self._retaining = retaining
        self._max_age = max_age
        self._groups: set[str] = set()

    async def report(self) -> None:
        """Measure once. Raises StreamUnavailable."""
        survey = await self._retaining.survey(noting=False)
        self._begin_counters({each.name for each in survey.groups})
        first, age, overdue = survey.first, 0.0, 0.0
        if first is not None:
            age = max(0.0, (survey.now - first.time).total_seconds())
            if self._max_age is not None:
                due = due_before(survey.now, self._max_age)
                overdue = max(0.0, (due.milliseconds - first.milliseconds) / 1000)
        telemetry.stream_length.set(survey.length, self._attributes)
        telemetry.stream_bytes.set(survey.stream_bytes, self._attributes)
        telemetry.stream_age.set(age, self._attributes)
        telemetry.held_back.set(overdue, self._attributes)
        used, most = await self._retaining.memory()
        telemetry.redis_memory.set(used / most if most else 0.0, self._attributes)

    def _begin_counters(self, groups: set[str]) -> None:
        """Count nothing for new groups: Prometheus sees a counter rise only if it has seen the counter before."""
        for group in groups - self._groups:
            attributes = {**self._attributes, "group": group}
            telemetry.dead_letters_expired.add(0, attributes)
            for reason in ("forgotten", "max-bytes"):
                telemetry.cut.add(0, {**attributes, "reason": reason})
        self._groups = groups
