"""Interceptors: code of an application around every produce call and every attempt to handle an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from event_backbone.consumer import Context
from event_backbone.model import EventKey, NewMetadata


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event that is about to be sent: its metadata, and its arguments by name, defaults included.

    It is frozen: to change it, pass on a copy, made with ``dataclasses.replace`` or the methods below.
    """

    metadata: NewMetadata
    arguments: Mapping[str, object]

    def with_headers(self, **headers: str) -> Self:
        """Return a copy with these headers added. They travel in the metadata: keep them few and short."""
        return replace(self, metadata=replace(self.metadata, headers={**self.metadata.headers, **headers}))

    def with_arguments(self, **arguments: object) -> Self:
        """Return a copy with these arguments changed; they are validated like those of a call."""
        return replace(self, arguments={**self.arguments, **arguments})


class ProduceInterceptor(Protocol):
    """Wraps every produce call of a backbone; the first interceptor is the outermost.

    It runs in the caller's task, after the arguments are validated. If it raises instead of calling ``call_next``,
    nothing is sent.
    """

    async def __call__(self, event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]], /) -> EventKey:
        """Send ``event`` or a changed copy with ``call_next``, and return its key.

        A copy may have other arguments and headers, and another event id, correlation or cause. URI, environment, event
        and version are the producer's own: changing them raises ConfigurationError, and nothing is sent.

        ``call_next`` may be called again after a failure: with the same event id, this makes one entry.
        """
        ...


class HandleInterceptor(Protocol):
    """Wraps every attempt to handle an event, once for all its handlers; the first interceptor is the outermost.

    It runs after the payload is loaded and decoded. What it raises is treated as raised by a handler. As it wraps the
    handlers of every subscription, it does not know the type of ``ctx.services``.

    Of a batch each event is wrapped, all at the same time: the batch handler is called once all have called
    ``call_next``, which then raises what was decided about its event. An event whose interceptor does not call it is
    not in the batch. Those that come later than ``within``, and 50 ms, after the first are given to another call.
    """

    async def __call__(self, ctx: Context[Any], call_next: Callable[[Context[Any]], Awaitable[None]], /) -> None:
        """Run the handlers with ``call_next``; without that call the attempt succeeds and no handler runs."""
        ...
