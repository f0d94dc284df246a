"""How an event that a handler produces is linked to the event that was being handled.

While the handlers of an event run, it is the current event of their task, and of every task that they start:
``subscription/handling.py`` calls ``set_current_event`` before and ``reset_current_event`` after them. A producer
asks for the ``lineage`` of each event that it sends: the correlation id is the current event's, so everything that
one first event caused shares it; the causation id is the current event's event id. What the caller gives by
``using(correlation_id=, causation_id=)`` takes precedence. For ``using(once=)`` the producer asks the ``current_event``
itself, which also knows what its group keeps of follow-up events. ``logs.py`` shows the current event in log lines.

Outside handlers there is no current event. An event without a given correlation id begins a correlation, whose id is
its own event id: ``wire/writing.py`` leaves that out, ``wire/reading.py`` fills it in.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol
from uuid import UUID

from event_backbone.model.event_key import EventKey
from event_backbone.model.follow_up import FollowUp, KeptFollowUp
from event_backbone.model.metadata import Metadata
from event_backbone.model.payload import Payload

HoldBack = Callable[[str, str, Payload], EventKey]
"""Takes an event instead of its stream: URI, name on the wire and payload; returns a key that it makes up."""


class CurrentEvent(Protocol):
    """An event that is being handled, as producers and logs see it."""

    @property
    def metadata(self) -> Metadata:
        """The event's metadata."""
        ...

    @property
    def attempt(self) -> int:
        """Which attempt this is, as in ``Context``."""
        ...

    @property
    def group(self) -> str:
        """The consumer group that handles it; empty in a replay, which has none."""
        ...

    def producing(self, follow_up: FollowUp) -> AbstractContextManager[None]:
        """Wrap the call that produces a follow-up event; if it fails, the label may be used again in this attempt.

        Raises OnceInvalid when the event is acked, or the follow-up is produced, or being produced, in this attempt.
        """
        ...

    async def reserve(self, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None) -> KeptFollowUp:
        """Keep ``event_id`` for the follow-up event unless one is kept already, and return what is kept.

        ``instead_of`` is replaced if it is what is kept, and has no key. Raises LeaseLost if this attempt has ended,
        StreamUnavailable if there was no answer; it may be called again.
        """
        ...

    async def note(self, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note the key under which the follow-up event with this id is in its stream. Raises StreamUnavailable."""
        ...


_current_event: ContextVar[CurrentEvent | None] = ContextVar("event_backbone_current_event", default=None)


set_current_event = _current_event.set
"""Makes an event the cause of what is produced from here on; returns a token for ``reset_current_event``."""

reset_current_event = _current_event.reset
"""Takes the token and makes the event before it current again; call it in the same context."""

current_event = _current_event.get
"""Returns the event that is being handled, or None outside handlers."""

_hold_back: ContextVar[HoldBack | None] = ContextVar("event_backbone_hold_back", default=None)

current_hold_back = _hold_back.get
"""Returns what takes everything that is produced here, within handlers of a debugged event; else None."""


@contextmanager
def holding_back(hold_back: HoldBack | None) -> Generator[None]:
    """Let ``hold_back`` take what the block produces, with and without a current event; None: it goes to its stream."""
    token = _hold_back.set(hold_back)
    try:
        yield
    finally:
        _hold_back.reset(token)


def lineage(correlation_id: str | None, causation_id: str | None) -> tuple[str | None, str | None]:
    """Return correlation and causation id of a new event: the given ones, else from the current event, else None."""
    current = _current_event.get()
    if current is None:
        return correlation_id or None, causation_id
    metadata = current.metadata
    return correlation_id or metadata.correlation_id, causation_id or str(metadata.event_id)
