"""Decodes a stored event: from name, version and payload to its definition and the arguments for a handler."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.contract.contract import Contract, find
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.upcast import target_version, upcast
from event_backbone.errors import DecodeError, UnknownVersion
from event_backbone.model import PartialPayload

_NULL = b"null"


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


def decode_partial(
    contract: type[Contract], name: str, version: int, payload: PartialPayload
) -> tuple[EventDefinition, dict[str, object], tuple[str, ...]]:
    """Return the event's definition, its arguments, and the names of those that are None or their default for a lack.

    An argument that is not in the payload is None if its type admits it, else its default. It is given to upcasters as
    None, if the version that the contract defines has an argument of its name whose type admits None.

    Raises:
        UnknownEvent, UnknownVersion, DecodeError: as ``decode_event`` does.
        PayloadErased, PayloadGone: an argument is missing that can be neither, or an upcaster cannot do without one.
    """
    definition = definition_for(contract, name, version)
    codec = definition.codec
    given: dict[str, bytes] = {**dict.fromkeys(codec.nullable, _NULL), **payload}
    if version != definition.version:
        try:
            _, given = upcast(contract, name, version, given)
        except DecodeError as error:
            raise payload.error() from error
    missing: list[str] = []
    for each in codec.parameters:
        if each.name in payload or given.get(each.name, _NULL) != _NULL:
            continue  # it was there, or an upcaster made it
        missing.append(each.name)
        if each.name in codec.nullable:
            given[each.name] = _NULL
        elif each.required:
            raise payload.error()
        else:
            given.pop(each.name, None)
    return definition, codec.decode(given), tuple(missing)
