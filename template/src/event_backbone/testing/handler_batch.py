"""A batch for tests of batch handlers: ``await handle(batch(Shipments.packing, [{...}]))`` needs no server."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from event_backbone.consumer import Batch, BatchedEvent
from event_backbone.contract import EventOf
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.subscription.handled_event import HandledEvent
from event_backbone.testing.handler_context import made_context

P = ParamSpec("P")
S = TypeVar("S")


@overload
def batch(event: EventOf[Any, P], arguments: Sequence[Mapping[str, object]], /) -> Batch[P]: ...


@overload
def batch(event: EventOf[Any, P], arguments: Sequence[Mapping[str, object]], /, *, services: S) -> Batch[P, S]: ...


def batch(
    event: EventOf[Any, P], arguments: Sequence[Mapping[str, object]], /, *, services: object = None
) -> Batch[P, Any]:
    """Return a batch as a subscription would pass it: one event for each of ``arguments``, which are by name.

    ``services`` is what the handler finds as ``batch.services``. ``ctx.ack()`` only sets ``ctx.acked``, and what the
    handler decides about an event is its ``decision``. In an asynchronous test, ``with each.handling():`` makes its
    event the cause of what the block produces, as in a subscription.

    Raises ConfigurationError if arguments do not have the event's names, or there are none.
    """
    definition, now = event.definition, int(time.time() * 1000)
    events: list[BatchedEvent[P, Any]] = []
    for number, each in enumerate(arguments):
        try:
            bound = definition.signature.bind(**each)
        except TypeError as error:
            raise ConfigurationError(
                f"The arguments of {definition.name} number {number} do not fit: {error}."
            ) from None
        bound.apply_defaults()
        key = EventKey(now, number)
        ctx = made_context(services, {"event": definition.name, "version": definition.version, "key": key})
        events.append(BatchedEvent(ctx, bound.arguments, ctx if isinstance(ctx, HandledEvent) else None))
    if not events:
        raise ConfigurationError("A batch has at least one event; give the arguments of one or more.")
    return Batch(events, services)
