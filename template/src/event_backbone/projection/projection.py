"""``Projection``: how the events of a contract change a view."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from event_backbone.contract import Contract, EventDefinition, EventOf, definition_for, events_of
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import ConfigurationError, ContractError, UnknownEvent, UnknownVersion
from event_backbone.model import Metadata

C_co = TypeVar("C_co", bound=Contract, covariant=True)
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", bound=Awaitable[None] | None)

Result = Awaitable[None] | None
"""What a function of a projection returns: nothing, or an async function's coroutine."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Projection(Generic[C_co, T]):
    """How the events of a contract change a view. It has no connection; any number of projectors may run it.

    ```python
    projection = Projection(Shipments, name="parcels", version=1, transaction=sqlite3.Connection)


    @projection.reset
    def empty(tx: sqlite3.Connection) -> None:
        tx.execute("DROP TABLE IF EXISTS parcels")
        tx.execute("CREATE TABLE parcels (product_id INTEGER, packed INTEGER)")


    @projection.on(Shipments.packing)
    def packing(tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: int, time: datetime) -> None:
        tx.execute("INSERT INTO parcels VALUES (?, ?)", (product_id, metadata.key.milliseconds))
    ```

    Its functions may be async or not: they are awaited if they return something to await. Each changes the view through
    the transaction that it is given, and only so, and never commits it. Then the view has each event exactly once, in
    the order of the stream, whatever crashes when. They must depend on nothing but the view and the event.

    ``name`` identifies the projection in its store. A higher ``version`` has the view built again, from the first
    event. ``transaction`` is the type of what the store begins.
    """

    def __init__(self, contract: type[C_co], *, name: str, version: int = 1, transaction: type[T]) -> None:
        """Start without functions.

        Raises:
            ConfigurationError: the name or the version is not valid.
        """
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"The projection name {name[:80]!r} is not valid: use up to 64 of a-z, 0-9, - and _, such as parcels."
            )
        if version < 1:
            raise ConfigurationError(f"The version of a projection must be 1 or more, not {version}.")
        self._contract = contract
        self._name = name
        self._version = version
        self._transaction = transaction
        self._events = {(each.name, each.version): each for each in events_of(contract)}
        self._handlers: dict[tuple[str, int], Callable[..., Result]] = {}
        self._without_payload: Callable[[T, StoredEvent], Result] | None = None
        self._reset: Callable[[T], Result] | None = None

    @property
    def contract(self) -> type[C_co]:
        """The contract whose events are folded."""
        return self._contract

    @property
    def name(self) -> str:
        """What it is called in its store."""
        return self._name

    @property
    def version(self) -> int:
        """Which version of the view it makes."""
        return self._version

    def on(
        self, event: EventOf[C_co, P], /
    ) -> Callable[[Callable[Concatenate[T, Metadata, P], R]], Callable[Concatenate[T, Metadata, P], R]]:
        """Return a decorator that makes a function fold ``event`` into the view; it is returned unchanged.

        The function takes the transaction, the event's metadata, and its arguments by their names. Of a partial payload
        an argument may be None or its default; ``metadata.missing`` names it.

        Raises:
            ContractError: the contract has no such event, it already has a function, or the function cannot be called
                with its arguments.
        """
        definition = event.definition
        identity = (definition.name, definition.version)
        if self._events.get(identity) != definition:
            raise ContractError(
                f"{definition.contract}.{definition.attribute} is not an event of {self._contract.__name__},"
                " the contract of this projection."
            )

        def register(function: Callable[Concatenate[T, Metadata, P], R]) -> Callable[Concatenate[T, Metadata, P], R]:
            if identity in self._handlers:
                raise ContractError(f"{_name(self._handlers[identity])} already folds {definition.attribute}.")
            names = tuple(definition.signature.parameters)
            _check(function, f"of {definition.contract}.{definition.attribute}", ("tx", "metadata"), names)
            self._handlers[identity] = function
            return function

        return register

    def without_payload(self, function: Callable[[T, StoredEvent], R], /) -> Callable[[T, StoredEvent], R]:
        """Make a function fold events whose payload was erased, is gone, or was not given to this program.

        It gets those of the events that this projection folds. Without it they are counted and passed over.

        Raises:
            ContractError: there is one already, or it does not take a transaction and a StoredEvent.
        """
        if self._without_payload is not None:
            raise ContractError(f"{_name(self._without_payload)} already folds events without payload.")
        _check(function, "of events without payload", ("tx", "event"))
        self._without_payload = function
        return function

    def reset(self, function: Callable[[T], R], /) -> Callable[[T], R]:
        """Make a function empty the view, which may not exist yet. Every projection needs one.

        It runs before the first event is folded, in the transaction that sets the checkpoint to the beginning.

        Raises:
            ContractError: there is one already, or it does not take a transaction.
        """
        if self._reset is not None:
            raise ContractError(f"{_name(self._reset)} already empties this view; register only one.")
        _check(function, "that empties the view", ("tx",))
        self._reset = function
        return function

    def handler_of(self, definition: EventDefinition) -> Callable[..., Result] | None:
        """Return the function that folds an event; None if there is none."""
        return self._handlers.get((definition.name, definition.version))

    def folds(self, name: str, version: int) -> bool:
        """Return whether a stored event is folded: also one of an unknown version of such an event, to fail then."""
        try:
            return self.handler_of(definition_for(self._contract, name, version)) is not None
        except UnknownVersion:
            return name in self.names()
        except UnknownEvent:
            return False

    @property
    def without_payload_handler(self) -> Callable[[T, StoredEvent], Result] | None:
        """The function for events without payload, if there is one."""
        return self._without_payload

    def checked_reset(self) -> Callable[[T], Result]:
        """Return the function that empties the view, once everything was found to be there.

        Raises ConfigurationError if it is missing, if nothing is folded, or only some versions of an event are.
        """
        if self._reset is None:
            raise ConfigurationError(
                f"Projection {self._name!r} cannot be built again: give it a function that empties the view, by"
                " @projection.reset."
            )
        names = self.names()
        if not names:
            raise ConfigurationError(
                f"Projection {self._name!r} folds no events: register functions by @projection.on."
            )
        for (name, version), definition in self._events.items():
            if name in names and (name, version) not in self._handlers:
                raise ConfigurationError(
                    f"Projection {self._name!r} folds event {name!r}, but not its version {version}: register a"
                    f" function for {definition.contract}.{definition.attribute} too."
                )
        return self._reset

    def names(self) -> frozenset[str]:
        """Return the names of the events that it folds."""
        return frozenset(name for name, _ in self._handlers)


def _check(function: Callable[..., Any], purpose: str, positions: tuple[str, ...], names: tuple[str, ...] = ()) -> None:
    try:
        inspect.signature(function).bind(*positions, **dict.fromkeys(names))
    except TypeError as error:
        raise ContractError(
            f"The function {_name(function)} {purpose} must take ({', '.join((*positions, *names))})."
        ) from error


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
