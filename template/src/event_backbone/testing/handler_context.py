"""A context for tests of handlers, which are plain functions: ``await handle(context(), ...)`` needs no server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

from event_backbone.consumer import Context
from event_backbone.model import EventKey, Metadata, new_event_id

S = TypeVar("S")


class ContextFields(TypedDict, total=False):
    """What a test may set; all of it but ``attempt`` goes into the metadata."""

    event: str
    version: int
    attempt: int
    key: EventKey
    event_id: UUID
    produced_at: datetime
    uri: str
    environment: str
    correlation_id: str
    causation_id: str | None


@overload
def context(**fields: Unpack[ContextFields]) -> Context: ...


@overload
def context(*, services: S, **fields: Unpack[ContextFields]) -> Context[S]: ...


def context(*, services: object = None, **fields: Unpack[ContextFields]) -> Context[Any]:
    """Return a context as a subscription would pass it; what is left out is made up.

    ``services`` is what the handler finds as ``ctx.services``. ``ctx.ack()`` only sets ``ctx.acked``.
    """
    now = datetime.now(UTC)
    event_id = fields.get("event_id") or new_event_id()
    metadata = Metadata(
        key=fields.get("key") or EventKey(int(now.timestamp() * 1000)),
        event_id=event_id,
        event=fields.get("event", "event"),
        version=fields.get("version", 1),
        produced_at=fields.get("produced_at", now),
        uri=fields.get("uri", "test"),
        environment=fields.get("environment", "test"),
        correlation_id=fields.get("correlation_id", str(event_id)),
        causation_id=fields.get("causation_id"),
    )
    return Context(metadata, fields.get("attempt", 1), _ack, services)


async def _ack() -> None:
    """Succeed, as an ack that reached the server."""
