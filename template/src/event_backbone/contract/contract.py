"""``Contract``, the base class of contracts, and what can be found in one."""

from __future__ import annotations

import functools
import inspect
from typing import ClassVar, TypeVar

from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.event_decorator import EventDescriptor
from event_backbone.contract.registry import REGISTRY, Registry, registry_of
from event_backbone.contract.send import DeprecatedSend, Send, Sender
from event_backbone.contract.upcast import check_upcasters
from event_backbone.errors import ContractError

_NOT_EVENTS = (property, staticmethod, classmethod, functools.cached_property)


class Contract:
    """The base of contracts: the ``@event`` methods of a subclass are the events of a stream.

    ```python
    class Shipments(Contract):
        @event
        def packing(self, email: str, product_id: int, time: datetime) -> None: ...
    ```

    ``Consumer.on`` takes events from the class; an instance, from ``backbone.producer(...)``, produces them. Defining a
    subclass raises ContractError for whatever cannot work; annotations are resolved on first use or by ``check``.
    """

    __event_backbone__: ClassVar[Registry] = Registry()  # the name is in REGISTRY; each subclass has its own

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        registry = Registry()
        for base in reversed(cls.__mro__[1:]):
            for definition in _own_events(base):
                registry.add(definition)
        for attribute, value in vars(cls).items():
            if isinstance(value, EventDescriptor):
                registry.add(value.define(attribute, cls.__name__))
            elif not attribute.startswith("_") and (inspect.isroutine(value) or isinstance(value, _NOT_EVENTS)):
                raise ContractError(
                    f"{cls.__name__}.{attribute} is public but not an event; put @event on it,"
                    " or start its name with an underscore."
                )
        cls.__event_backbone__ = registry

    def __init__(self) -> None:
        """Refuse: only a backbone makes producers."""
        contract = type(self).__name__
        raise ContractError(f"A {contract} cannot be made directly; use backbone.producer({contract}, uri=...).")


AnyContract = TypeVar("AnyContract", bound=Contract)


def bind(contract: type[AnyContract], sender: Sender) -> AnyContract:
    """Return a typed producer: an instance of ``contract`` that sends its events with ``sender``."""
    producer = object.__new__(contract)
    for definition in events_of(contract):
        send: Send[...] = (Send if definition.deprecated is None else DeprecatedSend)(sender, definition)
        vars(producer)[definition.attribute] = send
    return producer


def events_of(contract: type[Contract]) -> tuple[EventDefinition, ...]:
    """Return the events of a contract in order of definition, inherited ones first."""
    return tuple(registry_of(contract).events.values())


def known_arguments() -> dict[str, set[str]]:
    """Return the arguments of each event, by its wire name, of all contracts that this process has defined so far."""
    contracts: list[type[Contract]] = [Contract]
    for contract in contracts:
        contracts.extend(contract.__subclasses__())
    known: dict[str, set[str]] = {}
    for contract in contracts:
        for each in _own_events(contract):
            known.setdefault(each.name, set()).update(each.signature.parameters)
    return known


def check(contract: type[Contract]) -> None:
    """Resolve every annotation, build every codec and follow every chain of upcasters. May be called again.

    Raises:
        ContractError: an annotation, a type, a default or a chain of upcasters cannot work.
    """
    for definition in events_of(contract):
        definition.codec.check()
    check_upcasters(contract)


def _own_events(contract: type) -> list[EventDefinition]:
    registry = vars(contract).get(REGISTRY)
    if not isinstance(registry, Registry):
        return []
    return [definition for definition in registry.events.values() if definition.attribute in vars(contract)]
