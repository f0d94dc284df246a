"""From a stored event's name, version and payload to the definition and the arguments a handler gets."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.contract.contract import Contract, find
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.upcast import upcast
from event_backbone.errors import UnknownVersion


def decode_event(
    contract: type[Contract], name: str, version: int, payload: Mapping[str, bytes]
) -> tuple[EventDefinition, dict[str, object]]:
    """Return the event's definition and its arguments by name.

    A version that the contract defines is decoded as that version; any other goes through the upcasters to the nearest
    later version that is defined.

    Raises:
        UnknownEvent: the contract has no event of this name.
        UnknownVersion: it has, but neither this version nor a chain of upcasters from it.
        DecodeError: the payload does not fit, or an upcaster raised (it is the cause).
    """
    definition = contract.__event_backbone__.events.get((name, version))
    if definition is None:
        try:
            definition = find(contract, name, version)
        except UnknownVersion:
            version, payload = upcast(contract, name, version, payload)
            definition = find(contract, name, version)
    return definition, definition.codec.decode(payload)
