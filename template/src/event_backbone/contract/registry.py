"""The events of each contract class, kept on the class itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple, Protocol

from pydantic import JsonValue

from event_backbone.contract.definition import EventDefinition
from event_backbone.errors import ContractError

Upcaster = Callable[[dict[str, JsonValue]], dict[str, JsonValue]]
"""Turns the arguments of one version, as JSON values, into those of the next version."""

EventIdentity = tuple[str, int]
"""The name of an event on the wire, and its version."""


class Upcast(NamedTuple):
    """A step from one event identity to another: the upcaster, and the identity of what it returns."""

    upcaster: Upcaster
    to: EventIdentity


REGISTRY: Final = "__event_backbone__"


@dataclass(frozen=True, slots=True)
class Registry:
    """The events of a contract, inherited ones first, and the upcasters of this class, by what they begin with."""

    events: dict[EventIdentity, EventDefinition] = field(default_factory=dict[EventIdentity, EventDefinition])
    upcasters: dict[EventIdentity, Upcast] = field(default_factory=dict[EventIdentity, Upcast])

    def add(self, definition: EventDefinition) -> None:
        """Add an event; raise ContractError when another one has its name and version, or its attribute."""
        for other in self.events.values():
            if other is definition:
                return
            if other.attribute == definition.attribute:
                raise ContractError(
                    f"{definition.contract}.{definition.attribute} redefines the event of {other.contract};"
                    f" give the method another name, and name={definition.name!r} with a new version=."
                )
            if (other.name, other.version) == (definition.name, definition.version):
                raise ContractError(
                    f"{definition.contract}.{definition.attribute} and {other.contract}.{other.attribute} are both"
                    f" event {definition.name!r} version {definition.version}; give one of them another version=."
                )
        self.events[definition.name, definition.version] = definition


class HasEvents(Protocol):
    """A contract as its events see it, because ``Contract`` itself is built on them."""

    __event_backbone__: ClassVar[Registry]


def registry_of(contract: type) -> Registry:
    """Return the events and upcasters of ``contract``; raise ContractError when it is not a contract."""
    registry = vars(contract).get(REGISTRY)
    if not isinstance(registry, Registry):
        raise ContractError(f"{contract.__name__} must be a subclass of Contract.")
    return registry
