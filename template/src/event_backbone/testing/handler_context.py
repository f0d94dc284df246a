"""A context for tests of handlers, which are plain functions: ``await handle(context(), ...)`` needs no server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from uuid import UUID

from event_backbone.consumer import Context
from event_backbone.model import EventKey, Metadata, StreamName, new_event_id
from event_backbone.model.correlation import current_event, set_current_event
from event_backbone.stream.memory.leases import MemoryGroupLeases
from event_backbone.stream.memory.log import Group, Log, Pending
from event_backbone.subscription.handled_event import HandledEvent

_GROUP = _MEMBER = "test"


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

    In an asynchronous test, its event is the one being handled from here on, until the next ``context()``: it is the
    cause of what the test's task produces, and ``.using(once=...)`` works with every producer, so make each context
    where its handler is called. Of the same ``key`` and URI, the next context of the task is the next attempt: what the
    one before has produced once is not produced again.
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
    ctx = Context(metadata, attempt, _ack)
    if _in_a_task():
        set_current_event(_TestedEvent(ctx))
    return ctx


class _TestedEvent(HandledEvent):
    """An event that is delivered to the member of a group in memory, with nothing else in its stream."""

    __slots__ = ("log",)

    def __init__(self, ctx: Context) -> None:
        key, stream = ctx.metadata.key, StreamName(ctx.metadata.uri, ctx.metadata.environment)
        self.log: Log = Log(stream, time.time, key, groups={_GROUP: Group(key)})
        before = current_event()
        if isinstance(before, _TestedEvent) and (before.metadata.key, before.log.name) == (key, stream):
            self.log = before.log
        self.log.groups[_GROUP].pending[key] = Pending(_MEMBER, ctx.attempt, self.log.now())
        super().__init__(ctx, MemoryGroupLeases(self.log, _GROUP, _MEMBER), _GROUP)


def _in_a_task() -> bool:
    """Return whether a task runs, whose context variables end with it; what a plain test sets would reach others."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _ack() -> None:
    """Succeed, as an ack that reached the server."""
