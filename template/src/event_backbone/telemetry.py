"""Every metric of this package. It uses only OpenTelemetry's API: the application chooses the SDK.

Without an SDK they cost next to nothing. ``METRICS`` lists all of them, for the docs and tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from opentelemetry import metrics, trace
from opentelemetry.metrics import Counter, Histogram

Attributes = Mapping[str, str | int]

_SCOPE = "event_backbone"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_meter = metrics.get_meter(_SCOPE)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as documented: its kind, unit, meaning and attributes."""

    name: str
    kind: str
    unit: str
    description: str
    attributes: tuple[str, ...]


class Gauge(Protocol):
    """A metric that rises and falls."""

    def set(self, amount: float, attributes: Attributes) -> None:
        """Record the current value."""
        ...


METRICS: list[Metric] = []


def _counter(name: str, unit: str, description: str, *attributes: str) -> Counter:
    full_name = f"{_SCOPE}.{name}"
    METRICS.append(Metric(full_name, "counter", unit, description, attributes))
    return _meter.create_counter(full_name, unit, description)


def _histogram(
    name: str, unit: str, description: str, *attributes: str, boundaries: tuple[float, ...] = _SECONDS
) -> Histogram:
    full_name = f"{_SCOPE}.{name}"
    METRICS.append(Metric(full_name, "histogram", unit, description, attributes))
    return _meter.create_histogram(full_name, unit, description, explicit_bucket_boundaries_advisory=boundaries)


def _gauge(name: str, unit: str, description: str, *attributes: str) -> Gauge:
    full_name = f"{_SCOPE}.{name}"
    METRICS.append(Metric(full_name, "gauge", unit, description, attributes))
    return _meter.create_gauge(full_name, unit, description)


produced = _counter("produced", "{event}", "Events appended to the stream.", "uri", "event")
produce_failed = _counter("produce_failed", "{event}", "Produce calls that raised.", "uri", "event", "error")
produce_duration = _histogram("produce_duration", "s", "Time from a produce call to its event key.", "uri", "event")
produce_batch = _histogram(
    "produce_batch", "{event}", "Events sent in one round trip.", "uri", boundaries=tuple(map(float, _EVENTS))
)

delivered = _counter("delivered", "{event}", "Events handed to a consumer, redeliveries included.", "uri", "group")
redelivered = _counter("redelivered", "{event}", "Events handed to a consumer again.", "uri", "group")
handled = _counter("handled", "{event}", "Events whose handlers all succeeded.", "uri", "group", "event")
handle_duration = _histogram(
    "handle_duration",
    "s",
    "Duration of one attempt of an event's handlers, failed ones included.",
    "uri",
    "group",
    "event",
)
retried = _counter("retried", "{event}", "Failed attempts that will be retried.", "uri", "group", "event")
dead_lettered = _counter(
    "dead_lettered", "{event}", "Events moved to the dead letters.", "uri", "group", "event", "reason"
)
unhandled = _counter("unhandled", "{event}", "Events acked because they have no handler.", "uri", "group", "event")
skipped = _counter(
    "skipped",
    "{event}",
    "Events acked without a handler: reason is erased, not-given for a payload that is only in optional storages that "
    "this program was not given, unknown-event for a name that the contract does not have, or origin for events of "
    "another origin.",
    "uri",
    "group",
    "event",
    "reason",
)
partial = _counter(
    "partial",
    "{event}",
    "Attempts at events of which a part of the payload is missing: reason is erased, gone or not-given.",
    "uri",
    "group",
    "event",
    "reason",
)
lease_lost = _counter("lease_lost", "{event}", "Events whose lease was lost while in flight.", "uri", "group")
vanished = _counter("vanished", "{event}", "Events deleted from the stream while pending: lost.", "uri", "group")
group_recreated = _counter(
    "group_recreated", "{group}", "Missing consumer groups that were created again, from the beginning.", "uri", "group"
)
poison_suspected = _counter(
    "poison_suspected", "{event}", "Events run alone because they may have crashed a process.", "uri", "group"
)
running_alone = _gauge(
    "running_alone", "{event}", "1 while an event runs alone because it may have crashed a process.", "uri", "group"
)
loop_lag = _histogram(
    "loop_lag", "s", "How late the consumer's event loop is; handlers that block delay it.", "uri", "group"
)
lag = _gauge("lag", "{event}", "Events of the stream that the group has not read yet.", "uri", "group")
unread_age = _gauge(
    "unread_age", "s", "Age of the oldest event that the group has not read yet; 0 without any.", "uri", "group"
)
pending = _gauge("pending", "{event}", "Events delivered to the group and not finished.", "uri", "group")
parked = _gauge("parked", "{event}", "Failed events of the group that wait for their next attempt.", "uri", "group")
dead_letters = _gauge("dead_letters", "{event}", "Dead letters of the group.", "uri", "group")
outages = _counter(
    "outages",
    "{outage}",
    "Times that something stopped answering: Redis (side is producer, consumer or reader), a payload storage "
    "(storage), the archive (archive), an end of a link (forward), or what a projection reads (projection).",
    "uri",
    "side",
)

folded = _counter("folded", "{event}", "Events that a projection has folded.", "uri", "projection", "event")
fold_skipped = _counter(
    "fold_skipped",
    "{event}",
    "Events that a projection has passed over: reason is rejected by its function; or erased, gone or not-given for a "
    "payload that is not there, without a function for that.",
    "uri",
    "projection",
    "event",
    "reason",
)
fold_failed = _counter(
    "fold_failed", "{event}", "Failed attempts to fold an event into a view.", "uri", "projection", "event"
)
projection_lag = _gauge(
    "projection_lag", "s", "Age of the oldest event that a projection has not folded.", "uri", "projection"
)
projection_rebuilt = _counter(
    "projection_rebuilt", "{view}", "Views that were begun from the first event.", "uri", "projection"
)

archived = _counter("archived", "{event}", "Events committed to the archive.", "uri")
archive_lag = _gauge("archive_lag", "s", "Age of the oldest event that is not in the archive.", "uri")
events_lost = _gauge(
    "events_lost", "{stream}", "1 while Redis has lost events that the archive has: restore them.", "uri"
)

forwarded = _counter("forwarded", "{event}", "Events that a link appended to its target.", "uri", "link")
forward_skipped = _counter(
    "forward_skipped",
    "{event}",
    "Events that a link did not forward: reason is event or origin for a filter, loop, known for one that came another "
    "way, erased, gone, or unreadable.",
    "uri",
    "link",
    "reason",
)
forward_lag = _gauge(
    "forward_lag",
    "s",
    "Age of the oldest event that a link has not forwarded, or how long it has failed.",
    "uri",
    "link",
)
forward_gaps = _counter(
    "forward_gaps", "{gap}", "Times that events had left the source before a link had forwarded them.", "uri", "link"
)

removed = _counter("removed", "{event}", "Events that retention removed from the stream.", "uri")
cut = _counter(
    "cut",
    "{event}",
    "Events removed before a group had finished them: reason is forgotten for a group without a consumer for too long, "
    "or max-bytes.",
    "uri",
    "group",
    "reason",
)
dead_letters_expired = _counter(
    "dead_letters_expired", "{event}", "Dead letters that retention removed as they were too old.", "uri", "group"
)
payloads_swept = _counter(
    "payloads_swept", "{payload}", "Payloads in Redis that retention removed as no event referred to them.", "uri"
)
stream_length = _gauge("stream_length", "{event}", "Events in the stream.", "uri")
stream_bytes = _gauge("stream_bytes", "By", "What the stream takes of Redis' memory, without payload hashes.", "uri")
stream_age = _gauge("stream_age", "s", "Age of the oldest event in the stream.", "uri")
held_back = _gauge(
    "held_back", "s", "For how long the oldest event has been kept beyond max_age, because somebody needs it.", "uri"
)
redis_memory = _gauge(
    "redis_memory", "1", "The share of its memory limit that the stream's Redis uses; 0 without a limit.", "uri"
)

payload_duration = _histogram(
    "payload_duration", "s", "Duration of one call to a payload storage.", "storage", "operation"
)
cache_lookups = _counter(
    "cache_lookups", "{lookup}", "Payloads looked up in a cache; result is hit, miss or down.", "storage", "result"
)


def shut_down() -> None:
    """Let the application's SDK, if there is one, export what it has collected, before a process ends abruptly."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        shut_down_provider = getattr(provider, "shutdown", None)
        if callable(shut_down_provider):
            shut_down_provider()
