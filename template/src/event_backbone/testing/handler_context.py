"""A context for tests of handlers, which are plain functions: ``await handle(context(), ...)`` needs no server."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from event_backbone.consumer import Context
from event_backbone.model import EventKey, Metadata, new_event_id


def context(
    *,
    event: str = "event",
    version: int = 1,
    attempt: int = 1,
    key: EventKey | None = None,
    event_id: UUID | None = None,
    produced_at: datetime | None = None,
    uri: str = "test",
    environment: str = "test",
    correlation_id: str | None = None,
    causation_id: str | None = None,
) -> Context:
    """Return a context as a subscription would pass it; what is left out is made up.

    ``ctx.ack()`` only sets ``ctx.acked``.
    """
    now = datetime.now(UTC)
    event_id = event_id or new_event_id()
    metadata = Metadata(
        key=key or EventKey(int(now.timestamp() * 1000)),
        event_id=event_id,
        event=event,
        version=version,
        produced_at=produced_at or now,
        uri=uri,
        environment=environment,
        correlation_id=correlation_id or str(event_id),
        causation_id=causation_id,
    )
    return Context(metadata, attempt, _ack)


async def _ack() -> None:
    """Succeed, as an ack that reached the server."""
