"""The event that is being handled, in log records."""

from __future__ import annotations

import logging

from opentelemetry import trace

from event_backbone.model.correlation import current_event


class EventLogFilter(logging.Filter):
    """Adds the event that is being handled to each log record, for a formatter: also to the records of your own code.

    Add it to a handler of ``logging``, not to a logger. While the handlers of an event run, records get ``event`` (its
    name), ``key``, ``attempt`` and ``correlation_id``; within a span also ``trace_id``, in hex. What a record has
    already, by ``extra=``, stays as it is. It drops no record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is known."""
        fields: dict[str, str | int] = {}
        if (current := current_event()) is not None:
            metadata = current.metadata
            fields = {
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
