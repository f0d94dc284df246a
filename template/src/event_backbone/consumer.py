"""What an application does with events: its handlers, and what a handler is told about an event."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from types import CodeType
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar

from event_backbone.contract import Contract, EventDefinition, EventOf, events_of
from event_backbone.errors import ContractError
from event_backbone.model import Metadata

if TYPE_CHECKING:
    from event_backbone.contract.stored_event import StoredEvent

C_co = TypeVar("C_co", bound=Contract, covariant=True)
P = ParamSpec("P")


class Context:
    """What a handler is told about the event it handles, besides the event's arguments.

    ``metadata`` says which event it is. ``attempt`` counts the deliveries to this consumer group, this one included,
    and starts at 1; deliveries that ended in a crash count too. ``acked`` tells whether ``ack`` was called.
    """

    __slots__ = ("_ack", "acked", "attempt", "metadata")

    def __init__(self, metadata: Metadata, attempt: int, ack: Callable[[], Awaitable[None]]) -> None:
        """Tell about one attempt; ``ack`` does what the method of that name promises."""
        self.metadata = metadata
        self.attempt = attempt
        self.acked = False
        self._ack = ack

    async def ack(self) -> None:
        """Finish the event now: it is never delivered to this group again, whatever the handler does afterwards.

        Under the ack policy ``manual`` this is the only way to finish an event; under the others it acks early. The
        first call decides, later ones do nothing.

        Raises:
            LeaseLost: another consumer has taken the event over, or it is finished already.
        """
        if not self.acked:
            self.acked = True
            await self._ack()


Handler = Callable[..., Awaitable[None]]
"""A function of a Context and an event's arguments, called with these by name."""

FallbackHandler = Callable[[Context, "StoredEvent"], Awaitable[None]]
"""A function of a Context and an event as it is stored."""


class Consumer(Generic[C_co]):
    """The handlers of a contract's events. It holds no connection; subscriptions run it, several at once if need be.

    A consumer of a base contract handles the events of that base and leaves the rest to others. Each event may have
    several handlers: they run at the same time, and the event is acked when all have succeeded. When one fails, all
    run again on the next attempt, as nothing remembers who had succeeded.
    """

    def __init__(self, contract: type[C_co]) -> None:
        """Begin without handlers."""
        self._contract = contract
        self._events = {(each.name, each.version): each for each in events_of(contract)}
        self._handlers: dict[tuple[str, int], tuple[Handler, ...]] = {}
        self._fallback: FallbackHandler | None = None

    @property
    def contract(self) -> type[C_co]:
        """The contract whose events are handled."""
        return self._contract

    @property
    def events(self) -> Collection[EventDefinition]:
        """The events of the contract."""
        return self._events.values()

    def on(
        self, event: EventOf[C_co, P], /
    ) -> Callable[
        [Callable[Concatenate[Context, P], Awaitable[None]]], Callable[Concatenate[Context, P], Awaitable[None]]
    ]:
        """Return a decorator that makes an async function, or a bound method, a handler of ``event``.

        The handler takes a Context and the event's arguments under the event's own names; it is returned unchanged.

        Raises:
            ContractError: the contract has no such event, or the handler cannot be called with its arguments.
        """
        definition = event.definition
        identity = (definition.name, definition.version)
        if self._events.get(identity) != definition:
            raise ContractError(
                f"{definition.contract}.{definition.attribute} is no event of {self._contract.__name__},"
                f" the contract of this consumer; it has {self._names()}."
            )

        def register(
            handler: Callable[Concatenate[Context, P], Awaitable[None]],
        ) -> Callable[Concatenate[Context, P], Awaitable[None]]:
            registered = self._handlers.get(identity, ())
            if handler in registered:
                raise ContractError(f"{_name(handler)} handles {definition.attribute} already; register it once.")
            _check_handler(handler, definition)
            self._handlers[identity] = (*registered, handler)
            return handler

        return register

    def fallback(self, handler: FallbackHandler, /) -> FallbackHandler:
        """Make an async function the handler of whatever has no other: events of the contract, and unknown ones.

        Raises:
            ContractError: there is a fallback already, or the function does not take a context and a stored event.
        """
        if self._fallback is not None:
            raise ContractError(f"This consumer has a fallback already: {_name(self._fallback)}.")
        _check_fallback(handler)
        self._fallback = handler
        return handler

    def handlers_of(self, definition: EventDefinition) -> tuple[Handler, ...]:
        """Return the handlers of an event, in the order of their registration; none when there are none."""
        return self._handlers.get((definition.name, definition.version), ())

    @property
    def fallback_handler(self) -> FallbackHandler | None:
        """The fallback, or None."""
        return self._fallback

    def codes(self) -> dict[CodeType, str]:
        """Return the name of each handler, the fallback's too, by its code: so a stack can be told to be inside it."""
        functions = [each for handlers in self._handlers.values() for each in handlers]
        if self._fallback is not None:
            functions.append(self._fallback)
        return {code: _name(each) for each in functions if (code := _code(each)) is not None}

    def _names(self) -> str:
        return ", ".join(sorted({each.attribute for each in self._events.values()})) or "no events"


def _check_handler(handler: Handler, definition: EventDefinition) -> None:
    names = tuple(definition.signature.parameters)
    subject = f"The handler {_name(handler)} of {definition.contract}.{definition.attribute}"
    _check_async(handler, subject)
    try:
        inspect.signature(handler).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise ContractError(f"{subject} must take ({', '.join(('ctx', *names))}), the event's own names.") from error


def _check_fallback(handler: FallbackHandler) -> None:
    _check_async(handler, f"The fallback {_name(handler)}")
    try:
        inspect.signature(handler).bind(None, None)
    except TypeError as error:
        raise ContractError(f"The fallback {_name(handler)} must take (ctx, event).") from error


def _check_async(handler: Callable[..., object], subject: str) -> None:
    function = inspect.unwrap(handler)
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)):
        raise ContractError(f"{subject} must be an async function.")


def _code(handler: Callable[..., object]) -> CodeType | None:
    function = inspect.unwrap(handler)
    for candidate in (function, type(function).__call__):
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if isinstance(code, CodeType):
            return code
    return None


def _name(handler: object) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
