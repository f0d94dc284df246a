"""Decodes a stored event: from name, version and payload to its definition and the arguments for a handler."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.contract.contract import Contract, find
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.upcast import target_version, upcast
from event_backbone.errors import UnknownVersion


def definition_for(contract: type[Contract], name: str, version: int) -> EventDefinition:
    """Return the event that a stored event is decoded as, upcast if necessary.

    Raises UnknownEvent and UnknownVersion, as ``decode_event`` does.
    """
    try:
        return find(contract, name, version)
    except UnknownVersion:
        return find(contract, name, target_version(contract, name, version))


def decode_event(
    contract: type[Contract], name: str, version: int, payload: Mapping[str, bytes]
) -> tuple[EventDefinition, dict[str, object]]:
    """Return the event's definition and its arguments by name.

    A version that the contract does not define is upcast to the nearest later one that it defines.

    Raises:
        UnknownEvent: the contract has no event of this name.
        UnknownVersion: it has one, but neither this version nor a chain of upcasters from it.
        DecodeError: the payload does not fit, or an upcaster raised an error, which is the cause.
    """
    definition = contract.__event_backbone__.events.get((name, version))
    if definition is None:
        try:
            definition = find(contract, name, version)
        except UnknownVersion:
            version, payload = upcast(contract, name, version, payload)
            definition = find(contract, name, version)
    return definition, definition.codec.decode(payload)
