"""Decodes a stored event: from name, version and payload to its definition and the arguments for a handler."""

from __future__ import annotations

from collections.abc import Mapping

from event_backbone.contract.contract import Contract
from event_backbone.contract.definition import EventDefinition
from event_backbone.contract.upcast import identity_after_upcasts, upcast
from event_backbone.errors import DecodeError
from event_backbone.model import PartialPayload

_NULL = b"null"


def definition_for(contract: type[Contract], name: str, version: int) -> EventDefinition:
    """Return the event that a stored event is decoded as, upcast if necessary.

    Raises UnknownEvent and UnknownVersion, as ``decode_event`` does.
    """
    return contract.__event_backbone__.events[identity_after_upcasts(contract, name, version)]


def decode_event(
    contract: type[Contract], name: str, version: int, payload: Mapping[str, bytes]
) -> tuple[EventDefinition, dict[str, object]]:
    """Return the event's definition and its arguments by name.

    What the contract does not define is upcast to the nearest event that it defines: a later version, or another name.

    Raises:
        UnknownEvent: the contract has neither an event of this name nor an upcaster from it.
        UnknownVersion: it has one, but neither this version nor a chain of upcasters from it.
        DecodeError: the payload does not fit, or an upcaster raised an error, which is the cause.
    """
    definition = contract.__event_backbone__.events.get((name, version))
    if definition is None:
        definition = definition_for(contract, name, version)
        payload = upcast(contract, name, version, payload)
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
    if (name, version) != (definition.name, definition.version):
        try:
            given = upcast(contract, name, version, given)
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
