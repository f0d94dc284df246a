"""The event that is being handled, in log records."""

from __future__ import annotations

import logging

from opentelemetry import trace

from event_backbone.model.correlation import current_event

_worker_number: int | None = None


def name_worker(number: int) -> None:
    """Say which of several worker processes this one is: log records have it as ``worker``."""
    global _worker_number  # noqa: PLW0603 - it belongs to the process
    _worker_number = number


def worker_number() -> int | None:
    """Return which of several worker processes this one is; None if there are not several."""
    return _worker_number


class EventLogFilter(logging.Filter):
    """Adds the event that is being handled to each log record, for a formatter: also to the records of your own code.

    Add it to a handler of ``logging``, not to a logger. While the handlers of an event run, records get ``event`` (its
    name), ``key``, ``attempt`` and ``correlation_id``; within a span also ``trace_id``, in hex. Under
    ``worker --processes`` all records of a worker process get ``worker``, its number. What a record has
    already, by ``extra=``, stays as it is. It drops no record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known."""
        fields: dict[str, str | int] = {} if _worker_number is None else {"worker": _worker_number}
        if (current := current_event()) is not None:
            metadata = current.metadata
            fields |= {
                "event": metadata.event,
                "key": str(metadata.key),
                "attempt": current.attempt,
                "correlation_id": metadata.correlation_id,
            }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields["trace_id"] = trace.format_trace_id(span.trace_id)
        for name, value in fields.items():
            record.__dict__.setdefault(name, value)
        return True
