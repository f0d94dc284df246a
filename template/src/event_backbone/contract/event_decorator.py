"""``event``, which declares an event of a contract, and ``EventOf``, which the class then has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import FrameType
from typing import Concatenate, Generic, ParamSpec, TypeVar, overload

from typing_extensions import deprecated as deprecated_to_checkers

from event_backbone.codec import ArgumentsCodec, capture_local_names, signature_of
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.registry import HasEvents, Upcaster
from event_backbone.contract.send import Send
from event_backbone.contract.upcast import add_upcaster
from event_backbone.errors import ContractError

P = ParamSpec("P")
C = TypeVar("C")
SelfType = TypeVar("SelfType")
ContractType = TypeVar("ContractType", contravariant=True)  # noqa: PLC0105 - public signatures show the name

_ASYNC_OR_GENERATOR = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_WIRE_NAME = re.compile(r"[^\W_][\w.-]{0,127}")


class EventOf(Generic[ContractType, P]):
    """An event of a contract, as the class has it: ``Ship.packing``. ``P`` are the event's arguments.

    It is contravariant in the contract: a consumer of a contract takes the events of that contract and of its base
    contracts. Two are equal if they are the same event.
    """

    __slots__ = ("_contract", "_definition")

    def __init__(self, definition: EventDefinition, contract: type) -> None:
        """Refer to ``definition``, as reached through ``contract``."""
        self._definition = definition
        self._contract = contract

    @property
    def definition(self) -> EventDefinition:
        """The event's name, version, signature and codec."""
        return self._definition

    @property
    def contract(self) -> type:
        """The contract through which the event was reached, which may inherit it."""
        return self._contract

    def upcast(self, *, from_version: int, from_name: str | None = None) -> Callable[[Upcaster], Upcaster]:
        """Register an upcaster that turns events of an earlier version into those of the next version.

        With ``from_name``, the earlier name on the wire of an event that was renamed, it turns those into the same
        version of this event, from which the other upcasters go on: a renamed event keeps its versions.

        An upcaster takes and returns the arguments as JSON values by name. A chain of upcasters must end in a defined
        version; otherwise ``check`` raises ContractError.

        Raises:
            ContractError: the version is not earlier than the event's (with ``from_name``, it is later), is defined, or
                already has an upcaster.
        """

        def register(upcaster: Upcaster) -> Upcaster:
            event = (self._definition.name, self._definition.version)
            add_upcaster(self._contract, event, upcaster, version=from_version, name=from_name)
            return upcaster

        return register

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventOf) and self._definition is other.definition

    def __hash__(self) -> int:
        return hash(self._definition)

    def __repr__(self) -> str:
        return f"<event {self._contract.__name__}.{self._definition.attribute}>"


class EventDescriptor(Generic[P]):
    """What ``event`` puts into the class body: an ``EventOf`` on the class, a ``Send`` on a producer."""

    def __init__(
        self,
        function: Callable[..., None],
        *,
        version: int,
        name: str | None,
        key: str | None,
        deprecated: str | None,
        frame: FrameType | None,
    ) -> None:
        """Keep what was declared; it is checked when the contract class is made."""
        self._function = function
        self._version = version
        self._name = name
        self._key = key
        self._deprecated = deprecated
        self._local_names = capture_local_names(function, frame) if inspect.isfunction(function) else {}
        self._definition: EventDefinition | None = None

    @overload
    def __get__(self, instance: None, owner: type[C], /) -> EventOf[C, P]: ...
    @overload
    def __get__(self, instance: HasEvents, owner: type, /) -> Send[P]: ...
    def __get__(self, instance: object | None, owner: type[C], /) -> EventOf[C, P] | Send[P]:
        """Return the event. A producer never gets here: ``bind`` gives it a ``Send`` under the same name."""
        return self._event_of(instance, owner)

    def _event_of(self, instance: object | None, owner: type[C]) -> EventOf[C, P]:
        if self._definition is None:
            raise ContractError(f"{owner.__name__} must be a subclass of Contract to have events.")
        if instance is not None:
            raise ContractError(
                f"This {owner.__name__} is not connected; use backbone.producer({owner.__name__}, ...)."
            )
        return EventOf(self._definition, owner)

    def define(self, attribute: str, contract: str) -> EventDefinition:
        """Return the definition of ``attribute`` of class ``contract``; raise ContractError if it is not possible."""
        name = attribute if self._name is None else self._name
        function = self._function
        _check_function(function, f"{contract}.{attribute}")
        _check_identity(attribute, name, self._version)
        codec = ArgumentsCodec(function, event=name, local_names=self._local_names)
        signature = signature_of(function)
        if self._key is not None and self._key not in signature.parameters:
            raise ContractError(f"key={self._key!r} of event {name!r} must name one of its arguments.")
        if self._deprecated is not None and not self._deprecated.strip():
            raise ContractError(f"deprecated= of event {name!r} must say what to do instead, such as 'use packed'.")
        self._definition = EventDefinition(
            name=name,
            version=self._version,
            attribute=attribute,
            contract=contract,
            doc=inspect.cleandoc(function.__doc__ or ""),
            key=self._key,
            deprecated=self._deprecated,
            signature=signature,
            codec=codec,
        )
        return self._definition


class DeprecatedEvent(EventDescriptor[P]):
    """An event that type checkers report where it is produced."""

    @overload
    def __get__(self, instance: None, owner: type[C], /) -> EventOf[C, P]: ...
    @overload
    @deprecated_to_checkers("This event is deprecated; its contract says what to use instead.")
    def __get__(self, instance: HasEvents, owner: type, /) -> Send[P]: ...
    def __get__(self, instance: object | None, owner: type[C], /) -> EventOf[C, P] | Send[P]:
        """Return the event, as every other one."""
        return self._event_of(instance, owner)


@overload
def event(function: Callable[Concatenate[SelfType, P], None], /) -> EventDescriptor[P]: ...
@overload
def event(
    *, version: int = 1, name: str | None = None, key: str | None = None
) -> Callable[[Callable[Concatenate[SelfType, P], None]], EventDescriptor[P]]: ...
@overload
def event(
    *, version: int = 1, name: str | None = None, key: str | None = None, deprecated: str
) -> Callable[[Callable[Concatenate[SelfType, P], None]], DeprecatedEvent[P]]: ...
def event(
    function: Callable[Concatenate[SelfType, P], None] | None = None,
    /,
    *,
    version: int = 1,
    name: str | None = None,
    key: str | None = None,
    deprecated: str | None = None,
) -> EventDescriptor[P] | Callable[[Callable[Concatenate[SelfType, P], None]], EventDescriptor[P]]:
    """Declare a method of a contract as an event. The event has the method's arguments; the method never runs.

    Args:
        function: the method, when used as ``@event`` without parentheses.
        version: increase it when the arguments change so that stored events no longer fit.
        name: the event's name on the wire, by default the method's. Two methods may share a name in two versions.
        key: the argument whose value becomes the partition key.
        deprecated: what to do instead, such as ``"use packed"``: producing the event warns with a DeprecationWarning,
            type checkers report it, and so does the web API's OpenAPI. Handling and reading it does not.

    Raises:
        ContractError: when the class is made, if the arguments cannot be stored by name.
    """
    kind = EventDescriptor if deprecated is None else DeprecatedEvent

    def declare(method: Callable[Concatenate[SelfType, P], None]) -> EventDescriptor[P]:
        return kind(method, version=version, name=name, key=key, deprecated=deprecated, frame=_caller(2))

    if function is None:
        return declare
    return kind(function, version=version, name=name, key=key, deprecated=deprecated, frame=_caller(2))


def _caller(steps: int) -> FrameType | None:
    frame = inspect.currentframe()
    for _ in range(steps):
        frame = frame.f_back if frame is not None else None
    return frame


def _check_function(function: Callable[..., object], label: str) -> None:
    if not inspect.isfunction(function):
        raise ContractError(f"{label} must be a method, written with def, to be an event.")
    if function.__code__.co_flags & _ASYNC_OR_GENERATOR:
        raise ContractError(f"{label} must be a plain def, without async or yield: its body never runs.")
    if not function.__code__.co_argcount:
        raise ContractError(f"{label} must have self as its first parameter.")
    if signature_of(function).return_annotation not in {None, "None", inspect.Signature.empty}:
        raise ContractError(f"{label} must be annotated to return None: an event returns nothing.")


def _check_identity(attribute: str, name: str, version: int) -> None:
    if attribute.startswith("_"):
        raise ContractError(f"Event {attribute!r} must not start with an underscore.")
    if _WIRE_NAME.fullmatch(name) is None:
        raise ContractError(
            f"Event name {name[:60]!r} must be letters, digits, '_', '-' and '.', starting with a letter or digit."
        )
    if version < 1:
        raise ContractError(f"Event {name!r} must have a version of 1 or more, not {version}.")
