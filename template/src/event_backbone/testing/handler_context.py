"""A context for tests of handlers, which are plain functions: ``await handle(context(), ...)`` needs no server."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

from event_backbone.consumer import Context
from event_backbone.model import EventKey, Metadata, StreamName, new_event_id
from event_backbone.model.correlation import current_event, set_current_event
from event_backbone.stream.memory.leases import MemoryGroupLeases
from event_backbone.stream.memory.log import Group, Log, Pending
from event_backbone.subscription.handled_event import HandledEvent

_GROUP = _MEMBER = "test"

S = TypeVar("S")


class ContextFields(TypedDict, total=False):
    """What a test may set; all of it but ``attempt`` and ``replaying`` goes into the metadata."""

    event: str
    version: int
    attempt: int
    replaying: bool
    key: EventKey
    event_id: UUID
    produced_at: datetime
    uri: str
    environment: str
    correlation_id: str
    causation_id: str | None
    missing: tuple[str, ...]


@overload
def context(**fields: Unpack[ContextFields]) -> Context: ...


@overload
def context(*, services: S, **fields: Unpack[ContextFields]) -> Context[S]: ...


def context(*, services: object = None, **fields: Unpack[ContextFields]) -> Context[Any]:
    """Return a context as a subscription would pass it; what is left out is made up.

    ``services`` is what the handler finds as ``ctx.services``. ``ctx.ack()`` only sets ``ctx.acked``.

    In an asynchronous test, its event is the one being handled from here on, until the next ``context()``: it is the
    cause of what the test's task produces, and ``.using(once=...)`` works with every producer, so make each context
    where its handler is called. Of the same ``key`` and URI, the next context of the task is the next attempt: what the
    one before has produced once is not produced again.
    """
    ctx = made_context(services, fields)
    if isinstance(ctx, HandledEvent) and _in_a_task():
        set_current_event(ctx)
    return ctx


def made_context(services: object, fields: ContextFields) -> Context[Any]:
    """Return a context that is not the current one; in a task, one that producers can make it."""
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
        missing=fields.get("missing", ()),
    )
    attempt, replaying = fields.get("attempt", 1), fields.get("replaying", False)
    if _in_a_task() or replaying:
        return _TestedEvent(metadata, attempt, services, replaying=replaying)
    return Context(metadata, attempt, _ack, services)


class _TestedEvent(HandledEvent):
    """An event that is delivered to the member of a group in memory, with nothing else in its stream."""

    __slots__ = ("log",)

    def __init__(self, metadata: Metadata, attempt: int, services: object, *, replaying: bool) -> None:
        key, stream = metadata.key, StreamName(metadata.uri, metadata.environment)
        before = current_event()
        if isinstance(before, _TestedEvent) and (before.metadata.key, before.log.name) == (key, stream):
            self.log: Log = before.log
        else:
            self.log = Log(stream, time.time, key, groups={_GROUP: Group(key)})
        self.log.groups[_GROUP].pending[key] = Pending(_MEMBER, attempt, self.log.now())
        leases = MemoryGroupLeases(self.log, _GROUP, _MEMBER)
        super().__init__(metadata, key, attempt, _ack, None, services, leases, "" if replaying else _GROUP)


def _in_a_task() -> bool:
    """Return whether a task runs, whose context variables end with it; what a plain test sets would reach others."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def _ack(_: object = None) -> None:
    """Succeed, as an ack that reached the server."""
