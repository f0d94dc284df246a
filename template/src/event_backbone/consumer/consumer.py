"""``Consumer``: the handlers of a contract's events."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from types import CodeType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from typing_extensions import TypeVar as TypeVarWithDefault

from event_backbone.consumer.batch import Batch, BatchHandler, BatchOptions, alone
from event_backbone.consumer.context import Context
from event_backbone.contract import Contract, EventDefinition, EventOf, events_of
from event_backbone.errors import ConfigurationError, ContractError

if TYPE_CHECKING:
    from event_backbone.contract.stored_event import StoredEvent

C_co = TypeVar("C_co", bound=Contract, covariant=True)
S = TypeVarWithDefault("S", default=None)
P = ParamSpec("P")


Handler = Callable[..., Awaitable[None]]
"""An async function that takes a Context and, by name, the arguments of an event."""

FallbackHandler = Callable[[Context[S], "StoredEvent"], Awaitable[None]]
"""An async function that takes a Context and an event as it is stored."""


class Consumer(Generic[C_co, S]):
    """The handlers of a contract's events. It has no connection; any number of subscriptions may run it.

    ```python
    consumer = Consumer(Shipments, services=Services)


    @consumer.on(Shipments.packing)
    async def packing(ctx: Context[Services], email: str, product_id: int, time: datetime) -> None:
        await ctx.services.mailer.send(email)
    ```

    ``services`` is the type of the object with what the handlers need, such as a database. The object itself is given
    to ``subscribe``, and each handler finds it in its context. ``Consumer(Shipments)`` has handlers without services,
    which take a plain ``Context``.

    A consumer of a base contract handles the events of that base and leaves the rest to others. An event may have
    several handlers: they run concurrently, and the event is acked once all have succeeded. If one fails, all run again
    on the next attempt, since nothing records which ones succeeded.
    """

    @overload
    def __init__(self, contract: type[C_co]) -> None: ...

    @overload
    def __init__(self, contract: type[C_co], *, services: type[S]) -> None: ...

    def __init__(self, contract: type[C_co], *, services: type[Any] | None = None) -> None:
        """Start without handlers."""
        self._contract = contract
        self._services = services
        self._events = {(each.name, each.version): each for each in events_of(contract)}
        self._handlers: dict[tuple[str, int], tuple[Handler, ...]] = {}
        self._batches: dict[tuple[str, int], BatchOptions] = {}
        self._fallback: FallbackHandler[S] | None = None

    @property
    def contract(self) -> type[C_co]:
        """The contract whose events are handled."""
        return self._contract

    @property
    def events(self) -> Collection[EventDefinition]:
        """The events of the contract."""
        return self._events.values()

    @property
    def services(self) -> type[Any] | None:
        """The type of the object with what the handlers need; None if they need nothing."""
        return self._services

    def on(
        self, event: EventOf[C_co, P], /
    ) -> Callable[
        [Callable[Concatenate[Context[S], P], Awaitable[None]]], Callable[Concatenate[Context[S], P], Awaitable[None]]
    ]:
        """Return a decorator that makes an async function, or a bound method, a handler of ``event``.

        The handler takes a Context and the event's arguments, with the event's names; it is returned unchanged.

        Raises:
            ContractError: the contract has no such event, or the handler cannot be called with its arguments.
        """
        definition, identity = self._own(event)

        def register(
            handler: Callable[Concatenate[Context[S], P], Awaitable[None]],
        ) -> Callable[Concatenate[Context[S], P], Awaitable[None]]:
            registered = self._handlers.get(identity, ())
            if handler in registered:
                raise ContractError(f"{_name(handler)} already handles {definition.attribute}; register it once.")
            if identity in self._batches:
                raise ContractError(_both(definition))
            _check_handler(handler, definition)
            self._handlers[identity] = (*registered, handler)
            return handler

        return register

    def on_batch(
        self, event: EventOf[C_co, P], /, *, most: int = 100, within: timedelta = timedelta(milliseconds=50)
    ) -> Callable[[Callable[[Batch[P, S]], Awaitable[None]]], Callable[[Batch[P, S]], Awaitable[None]]]:
        """Return a decorator that makes an async function, or a bound method, the batch handler of ``event``.

        It takes one argument, a Batch of up to ``most`` events; it is returned unchanged. A batch begins when it has
        ``most`` events or ``within`` after its first, and counts as one towards ``concurrency``. An event that failed
        before comes alone.

        When the handler returns, each event is acked, unless it was rejected or is to be retried. What the handler
        raises decides for each event that was not decided or acked before.

        Raises:
            ContractError: the contract has no such event, it has a handler already, or the function does not take a
                Batch alone.
            ConfigurationError: ``most`` is less than 1, or ``within`` negative.
        """
        definition, identity = self._own(event)
        if most < 1:
            raise ConfigurationError(f"most must be 1 or more, not {most}.")
        if within < timedelta():
            raise ConfigurationError("within must not be negative.")

        def register(handler: Callable[[Batch[P, S]], Awaitable[None]]) -> Callable[[Batch[P, S]], Awaitable[None]]:
            if self._handlers.get(identity):
                raise ContractError(_both(definition))
            _check_batch_handler(handler, definition)
            options = BatchOptions(cast("BatchHandler", handler), most, within)
            self._batches[identity] = options
            self._handlers[identity] = (alone(options.handler),)
            return handler

        return register

    def fallback(self, handler: FallbackHandler[S], /) -> FallbackHandler[S]:
        """Make an async function the handler of all events without one, those unknown to the contract included.

        Raises:
            ContractError: there already is a fallback, or the function does not take a Context and a StoredEvent.
        """
        if self._fallback is not None:
            raise ContractError(f"This consumer already has the fallback {_name(self._fallback)}; register only one.")
        _check_fallback(handler)
        self._fallback = handler
        return handler

    def handlers_of(self, definition: EventDefinition) -> tuple[Handler, ...]:
        """Return the handlers of an event in order of registration; empty if it has none."""
        return self._handlers.get((definition.name, definition.version), ())

    def batch_of(self, definition: EventDefinition) -> BatchOptions | None:
        """Return the batch handler of an event, if that is how it is handled; then ``handlers_of`` has one for each."""
        return self._batches.get((definition.name, definition.version))

    @property
    def largest_batch(self) -> int:
        """How many events one call may take at most; 1 without batch handlers."""
        return max((each.most for each in self._batches.values()), default=1)

    @property
    def fallback_handler(self) -> FallbackHandler[S] | None:
        """The fallback, if there is one."""
        return self._fallback

    def codes(self) -> dict[CodeType, str]:
        """Return the names of all handlers by their code, the fallback included, to recognise them in a stack."""
        functions = [each for handlers in self._handlers.values() for each in handlers]
        if self._fallback is not None:
            functions.append(self._fallback)
        return {code: _name(each) for each in functions if (code := _code(each)) is not None}

    def _own(self, event: EventOf[Any, ...]) -> tuple[EventDefinition, tuple[str, int]]:
        definition = event.definition
        identity = (definition.name, definition.version)
        if self._events.get(identity) != definition:
            raise ContractError(
                f"{definition.contract}.{definition.attribute} is not an event of {self._contract.__name__},"
                f" the contract of this consumer; it has {self._names()}."
            )
        return definition, identity

    def _names(self) -> str:
        return ", ".join(sorted({each.attribute for each in self._events.values()})) or "no events"


def check_services(consumer: Consumer[Contract, Any], services: object) -> None:
    """Refuse what would fail in the first handler, with ConfigurationError; type checkers find the rest."""
    if consumer.services is None and services is not None:
        raise ConfigurationError("The consumer declares no services; make it with Consumer(..., services=...).")
    if consumer.services is not None and (services is None or services is consumer.services):
        name = consumer.services.__name__
        raise ConfigurationError(f"The handlers need services; pass an instance of {name}, as services={name}(...).")


def _check_handler(handler: Handler, definition: EventDefinition) -> None:
    names = tuple(definition.signature.parameters)
    subject = f"The handler {_name(handler)} of {definition.contract}.{definition.attribute}"
    _check_async(handler, subject)
    try:
        inspect.signature(handler).bind(None, **dict.fromkeys(names))
    except TypeError as error:
        raise ContractError(
            f"{subject} must take ({', '.join(('ctx', *names))}), the argument names of the event."
        ) from error


def _check_batch_handler(handler: Callable[..., object], definition: EventDefinition) -> None:
    subject = f"The batch handler {_name(handler)} of {definition.contract}.{definition.attribute}"
    _check_async(handler, subject)
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        raise ContractError(f"{subject} must take one argument, the batch.") from error


def _both(definition: EventDefinition) -> str:
    return f"{definition.attribute} may have either handlers, by on, or one batch handler, by on_batch, not both."


def _check_fallback(handler: FallbackHandler[S]) -> None:
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
