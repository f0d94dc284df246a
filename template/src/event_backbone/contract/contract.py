"""``Contract``: the base class of contracts, and what can be asked of one."""

from __future__ import annotations

import functools
import inspect
from typing import ClassVar, TypeVar

from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.events import EventDescriptor
from event_backbone.contract.registry import REGISTRY, Registry, registry_of
from event_backbone.contract.send import Send, Sender
from event_backbone.contract.upcast import check_upcasters
from event_backbone.errors import ContractError, UnknownEvent, UnknownVersion

_NO_EVENTS = (property, staticmethod, classmethod, functools.cached_property)


class Contract:
    """The base of contracts: a subclass says by its ``@event`` methods which events a stream carries.

    On the class an event is what ``Consumer.on`` takes; an instance, from ``backbone.producer(...)``, produces them.
    Making a subclass raises ContractError for whatever cannot work; what its annotations mean is checked on first use,
    or by ``check``.
    """

    __event_backbone__: ClassVar[Registry] = Registry()  # under the name in REGISTRY, anew for each subclass

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        registry = Registry()
        for base in reversed(cls.__mro__[1:]):
            for definition in _own_events(base):
                registry.add(definition)
        for attribute, value in vars(cls).items():
            if isinstance(value, EventDescriptor):
                registry.add(value.define(attribute, cls.__name__))
            elif not attribute.startswith("_") and (inspect.isroutine(value) or isinstance(value, _NO_EVENTS)):
                raise ContractError(
                    f"{cls.__name__}.{attribute} is public but no event; put @event on it,"
                    " or start its name with an underscore."
                )
        cls.__event_backbone__ = registry

    def __init__(self) -> None:
        """Refuse: a contract is connected to a stream by the backbone."""
        contract = type(self).__name__
        raise ContractError(f"A {contract} is not made by hand; use backbone.producer({contract}, uri=...).")


AnyContract = TypeVar("AnyContract", bound=Contract)


def bind(contract: type[AnyContract], sender: Sender) -> AnyContract:
    """Return a typed producer: an instance of ``contract`` whose events go to ``sender``."""
    producer = object.__new__(contract)
    for definition in events_of(contract):
        send: Send[...] = Send(sender, definition)
        vars(producer)[definition.attribute] = send
    return producer


def events_of(contract: type[Contract]) -> tuple[EventDefinition, ...]:
    """Return the events of a contract in the order of their definition, inherited ones first."""
    return tuple(registry_of(contract).events.values())


def find(contract: type[Contract], name: str, version: int) -> EventDefinition:
    """Return the event with this wire name and version.

    Raises:
        UnknownEvent: the contract has no event of this name.
        UnknownVersion: it has, but not in this version. (An upcaster may still lead from it: ``decode_event``.)
    """
    events = registry_of(contract).events
    found = events.get((name, version))
    if found is not None:
        return found
    if any(known == name for known, _ in events):
        raise UnknownVersion(f"Event {name!r} version {version} is unknown to {contract.__name__}.")
    raise UnknownEvent(f"Event {name!r} is unknown to {contract.__name__}.")


def check(contract: type[Contract]) -> None:
    """Resolve every annotation, build every codec, and follow every chain of upcasters. May be called any time.

    Raises:
        ContractError: an annotation, a type, a default, or a chain of upcasters cannot work.
    """
    for definition in events_of(contract):
        definition.codec.check()
    check_upcasters(contract)


def _own_events(contract: type) -> list[EventDefinition]:
    registry = vars(contract).get(REGISTRY)
    if not isinstance(registry, Registry):
        return []
    return [definition for definition in registry.events.values() if definition.attribute in vars(contract)]
