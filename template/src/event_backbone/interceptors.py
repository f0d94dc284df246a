"""What an application may put around every produce call and around every attempt to handle an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

from event_backbone.consumer import Context
from event_backbone.model import EventKey, NewMetadata


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event that is about to be sent: its metadata, and its arguments by name, defaults included.

    It is frozen: an interceptor that changes something hands another one on, by ``replace`` or the methods here.
    """

    metadata: NewMetadata
    arguments: Mapping[str, object]

    def with_headers(self, **headers: str) -> Self:
        """Return the same with these headers added; they travel in the metadata, so keep them few and short."""
        return replace(self, metadata=replace(self.metadata, headers={**self.metadata.headers, **headers}))

    def with_arguments(self, **arguments: object) -> Self:
        """Return the same with other values for these arguments; they are validated as those of a call."""
        return replace(self, arguments={**self.arguments, **arguments})


class ProduceInterceptor(Protocol):
    """Stands around every produce call of a backbone; the first interceptor is the outermost.

    It runs in the caller's task, after the arguments were validated. It may raise, and then nothing is sent.
    """

    async def __call__(self, event: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]], /) -> EventKey:
        """Send ``event``, or another, by ``call_next`` and return the key.

        ``call_next`` may be called again after a failure: under the same event id that makes one entry.
        """
        ...


class HandleInterceptor(Protocol):
    """Stands around every attempt to handle an event, once for all its handlers; the first one is the outermost.

    It runs after the payload was loaded and decoded. What it raises counts as raised by a handler.
    """

    async def __call__(self, ctx: Context, call_next: Callable[[Context], Awaitable[None]], /) -> None:
        """Let the handlers run by ``call_next``; without that call the attempt succeeds unhandled."""
        ...
