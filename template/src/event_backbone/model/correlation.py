"""How an event that a handler produces is linked to the event that was being handled.

While the handlers of an event run, it is the current event of their task, and of every task that they start:
``subscription/handling.py`` calls ``set_current_event`` before and ``reset_current_event`` after them. A producer
asks for the ``lineage`` of each event that it sends: the correlation id is the current event's, so everything that
one first event caused shares it; the causation id is the current event's event id. What the caller gives by
``using(correlation_id=, causation_id=)`` takes precedence. ``logs.py`` shows the current event in log lines.

Outside handlers there is no current event. An event without a given correlation id begins a correlation, whose id is
its own event id: ``wire/writing.py`` leaves that out, ``wire/reading.py`` fills it in.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from event_backbone.model.metadata import Metadata


class CurrentEvent(Protocol):
    """What is known of the event that is being handled: part of a handler's ``Context``."""

    metadata: Metadata
    attempt: int


_current_event: ContextVar[CurrentEvent | None] = ContextVar("event_backbone_current_event", default=None)


current_event = _current_event.get
"""Returns the event that is being handled here; None outside handlers."""

set_current_event = _current_event.set
"""Makes an event the cause of what is produced from here on; returns a token for ``reset_current_event``."""

reset_current_event = _current_event.reset
"""Takes the token and makes the event before it current again; call it in the same context."""


def lineage(correlation_id: str | None, causation_id: str | None) -> tuple[str | None, str | None]:
    """Return correlation and causation id of a new event: the given ones, else from the current event, else None."""
    current = _current_event.get()
    if current is None:
        return correlation_id or None, causation_id
    metadata = current.metadata
    return correlation_id or metadata.correlation_id, causation_id or str(metadata.event_id)
