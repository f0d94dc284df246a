"""Calls the handlers of one event in the foreground, so that breakpoints work and failures keep their traceback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from pydantic_core import from_json

from event_backbone.consumer import Consumer, check_services
from event_backbone.contract import Contract
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.interceptors import HandleInterceptor
from event_backbone.model import EventKey, Metadata, NewDeadLetter, Payload
from event_backbone.model.correlation import holding_back
from event_backbone.policy import RetryPolicy
from event_backbone.replay.follow_ups import ReplayFollowUps
from event_backbone.replay.options import ReplayOptions
from event_backbone.replay.replay import handling_of
from event_backbone.storage.base import StorageScope
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.wire import payload_to_json


@dataclass(frozen=True, slots=True)
class HeldBack:
    """An event that a handler would have produced: where to, its name on the wire, and its arguments as JSON values."""

    uri: str
    event: str
    arguments: dict[str, JsonValue]

    def __str__(self) -> str:
        """Return it as the call that a handler makes, and where it would go."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.event}({arguments}) to {self.uri}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugReport:
    """What calling the handlers of one event has shown.

    Attributes:
        event: the event as it is stored.
        skipped: why no handler was called, as in ``ReplayReport.skipped``; empty if one was, or if it failed before.
        error: what was raised, with its traceback: by a handler, or when the event was decoded; None after a success.
        held_back: what the handlers would have produced, in order.
    """

    event: StoredEvent
    skipped: str
    error: BaseException | None
    held_back: Sequence[HeldBack] = field(default_factory=tuple)


async def debug_event(
    consumer: Consumer[Contract, Any],
    services: object,
    event: StoredEvent,
    scope: StorageScope,
    interceptors: Sequence[HandleInterceptor],
    *,
    produce: bool,
) -> DebugReport:
    """Call the handlers of an event within the caller's task; ``Backbone.debug`` describes it."""
    check_services(consumer, services)
    errors, held_back, follow_ups = list[BaseException](), list[HeldBack](), ReplayFollowUps(lambda _: True)

    def note(_: Metadata, error: BaseException) -> None:
        errors.append(error)

    def hold_back(uri: str, name: str, payload: Payload) -> EventKey:
        held_back.append(HeldBack(uri, name, from_json(payload_to_json(payload))))
        return EventKey(time.time_ns() // 1_000_000, len(held_back))

    options = ReplayOptions(retry=RetryPolicy(max_attempts=1))
    handling = handling_of(
        consumer, services, scope, follow_ups, options=options, interceptors=interceptors, on_failure=note
    )
    handling.begin_batch()
    metadata = event.metadata
    route = handling.routes.of(metadata)
    ctx = handling.context_of(metadata, metadata.key, 1, _ack_nothing, None)
    loaded = LoadedEvent(metadata, route, event.content if route.wanted else None, event.references)
    try:
        with holding_back(None if produce else hold_back):
            outcome = await handling.handle(loaded, ctx, 1)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        outcome = handling.failed(ctx, 1, error)
    skipped = "" if isinstance(outcome, NewDeadLetter) else getattr(outcome, "skipped", "")
    return DebugReport(event=event, skipped=skipped, error=errors[-1] if errors else None, held_back=tuple(held_back))


async def _ack_nothing(_: None) -> None:
    """Ack nothing: there is no group."""
