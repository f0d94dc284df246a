"""``Batch``: the events that a batch handler takes, each with its context and arguments, to be decided by itself."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from typing_extensions import TypeVar as TypeVarWithDefault

from event_backbone.consumer.context import Context
from event_backbone.errors import HandlerDecision, Reject, Retry
from event_backbone.model.correlation import CurrentEvent, current_event, reset_current_event, set_current_event
from event_backbone.spans import Trace, continued

P = ParamSpec("P")
T = TypeVar("T")
S_co = TypeVarWithDefault("S_co", default=None, covariant=True)


class BatchedEvent(Generic[P, S_co]):
    """One event of a batch.

    ``ctx`` is its context: its metadata, its attempt, and ``await ctx.ack()``, which acks it alone. ``arguments`` has
    its arguments by name. ``decision`` is what ``reject`` or ``retry`` decided, else None.
    """

    __slots__ = ("_current", "_trace", "arguments", "ctx", "decision")

    def __init__(
        self,
        ctx: Context[S_co],
        arguments: Mapping[str, Any],
        current: CurrentEvent | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Describe one attempt; ``current`` is the event as producers see it, ``trace`` where its spans belong."""
        self.ctx = ctx
        self.arguments = arguments
        self.decision: HandlerDecision | None = None
        self._current = current
        self._trace = trace

    def call(self, function: Callable[P, T], /) -> T:
        """Call a function with the event's arguments, by name, and return its result."""
        call: Callable[..., T] = function
        return call(**self.arguments)

    def reject(self, reason: str) -> None:
        """Move this event to the dead letters when the handler ends, as ``Reject`` does; the last decision counts."""
        self.decision = Reject(reason)

    def retry(self, after: timedelta | None = None) -> None:
        """Deliver this event again, no sooner than ``after`` from now, as ``Retry`` does; the last decision counts."""
        self.decision = Retry(after)

    @contextmanager
    def handling(self) -> Generator[None]:
        """Let what the block produces be caused by this event, and its log lines name it.

        Outside of such a block a batch handler has no event: what it produces begins a new correlation, and
        ``.using(once=...)`` raises OnceInvalid.
        """
        token = set_current_event(self._current)
        try:
            with nullcontext() if self._trace is None else continued(self._trace):
                yield
        finally:
            reset_current_event(token)


class Batch(Sequence[BatchedEvent[P, S_co]], Generic[P, S_co]):
    """The events that a batch handler takes, at least one, in the order of the stream. ``services`` is what it needs.

    ``P`` are the types of the event's arguments: ``Batch[[str, int, datetime], Services]``.
    """

    __slots__ = ("_events", "_services")

    def __init__(self, events: Sequence[BatchedEvent[P, S_co]], services: S_co) -> None:
        """Hold these events, for a handler with ``services``."""
        self._events = events
        self._services = services

    @property
    def services(self) -> S_co:
        """What the handlers of this subscription need, as given to ``subscribe(services=...)``; None without any."""
        return self._services

    @overload
    def __getitem__(self, place: int) -> BatchedEvent[P, S_co]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[BatchedEvent[P, S_co]]: ...
    def __getitem__(self, place: int | slice) -> BatchedEvent[P, S_co] | Sequence[BatchedEvent[P, S_co]]:
        """Return one event, or some of them."""
        return self._events[place]

    def __iter__(self) -> Iterator[BatchedEvent[P, S_co]]:
        """Return an iterator over the events."""
        return iter(self._events)

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self._events)


BatchHandler = Callable[[Batch[..., Any]], Awaitable[None]]
"""An async function that takes a Batch."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchOptions:
    """A batch handler: how many events it takes at most, and how long the first of them waits for others."""

    handler: BatchHandler
    most: int
    within: timedelta


def alone(handler: BatchHandler) -> Callable[..., Awaitable[None]]:
    """Return a handler of single events, which calls a batch handler with one at a time."""

    @functools.wraps(handler)
    async def handle_one(ctx: Context[Any], /, **arguments: object) -> None:
        one: BatchedEvent[..., Any] = BatchedEvent(ctx, arguments, current_event())
        token = set_current_event(None)  # as in a batch of several
        try:
            await handler(Batch((one,), ctx.services))
        finally:
            reset_current_event(token)
        if one.decision is not None:
            raise one.decision

    return handle_one
