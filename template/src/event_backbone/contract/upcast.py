"""Upcasters turn stored events of earlier versions, or of earlier names, into events that the contract defines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from event_backbone.contract.registry import REGISTRY, EventIdentity, Registry, Upcast, Upcaster, registry_of
from event_backbone.errors import ContractError, DecodeError, UnknownEvent, UnknownVersion


def add_upcaster(contract: type, event: EventIdentity, upcaster: Upcaster, *, version: int, name: str | None) -> None:
    """Let ``upcaster`` turn what was stored with this version of ``event`` into the next version.

    With ``name``, it turns what was stored under that name and version into the same version of ``event``.

    Raises:
        ContractError: the version is not between 1 and that of ``event`` (without a name, 1 less), is defined, or
            already has an upcaster; or the name is the event's own; or upcasters would lead in a circle.
    """
    renamed = name is not None
    if name == event[0]:
        raise ContractError(f"Event {name!r} has this name already; leave from_name= out to upcast between versions.")
    last = event[1] if renamed else event[1] - 1
    if not 1 <= version <= last:
        raise ContractError(_out_of_range(event, version, last, name))
    origin = (event[0] if name is None else name, version)
    if _find(contract, origin) is not None:
        raise _two_upcasters(origin)
    step = Upcast(upcaster, (event[0], version if renamed else version + 1))
    registry_of(contract).upcasters[origin] = step
    try:
        check_upcasters_reachable(contract)
        _refuse_circle(contract, origin)
    except ContractError:
        del registry_of(contract).upcasters[origin]
        raise


def check_upcasters_reachable(contract: type) -> None:
    """Raise ContractError for an upcaster that would never run, or that two classes of the MRO define."""
    seen: set[EventIdentity] = set()
    for origin in _all(contract):
        if origin in registry_of(contract).events:
            raise ContractError(
                f"Event {origin[0]!r} version {origin[1]} is defined, so its upcaster would never run; remove either."
            )
        if origin in seen:
            raise _two_upcasters(origin)
        seen.add(origin)


def check_upcasters(contract: type) -> None:
    """Raise ContractError if a chain of upcasters does not end in an event that the contract defines."""
    check_upcasters_reachable(contract)
    known = {*registry_of(contract).events, *_all(contract)}
    for origin in _all(contract):
        step = cast("Upcast", _find(contract, origin))
        if step.to not in known:
            name, version = step.to
            missing = f"version {version}" if name == origin[0] else f"event {name!r} version {version}"
            raise ContractError(
                f"Event {origin[0]!r} has an upcaster from version {origin[1]} but nothing for {missing};"
                f" add an upcaster with from_version={version}."
            )


def identity_after_upcasts(contract: type, name: str, version: int) -> EventIdentity:
    """Return what upcasters turn this event into: its own identity if the contract defines it.

    Raises:
        UnknownEvent: the contract has neither an event of this name nor an upcaster from it.
        UnknownVersion: it has one, but there is no chain of upcasters from this version.
    """
    events, identity = registry_of(contract).events, (name, version)
    while identity not in events:
        step = _find(contract, identity)
        if step is None:
            raise _unknown(contract, (name, version), identity)
        identity = step.to
    return identity


def upcast(contract: type, name: str, version: int, payload: Mapping[str, bytes]) -> dict[str, bytes]:
    """Turn a payload into one of the event that ``identity_after_upcasts`` names.

    Raises:
        UnknownEvent, UnknownVersion: there is no chain of upcasters to an event that ``contract`` defines.
        DecodeError: the payload is not valid JSON, or an upcaster raised an error (the cause) or returned no arguments.
    """
    events, identity = registry_of(contract).events, (name, version)
    identity_after_upcasts(contract, name, version)
    try:
        arguments: dict[str, JsonValue] = {argument: from_json(value) for argument, value in payload.items()}
    except ValueError:
        raise DecodeError(f"The payload of event {name!r} version {version} is not valid JSON.") from None
    while identity not in events:
        step = cast("Upcast", _find(contract, identity))
        arguments = _run(step.upcaster, f"{identity[0]!r} from version {identity[1]}", arguments)
        identity = step.to
    try:
        return {argument: to_json(value, inf_nan_mode="strings") for argument, value in arguments.items()}
    except Exception as error:
        raise DecodeError(f"The upcasters of event {name!r} must return JSON values under argument names.") from error


def _run(upcaster: Upcaster, source: str, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
    label = getattr(upcaster, "__qualname__", type(upcaster).__name__)
    try:
        result = cast("object", upcaster(arguments))
    except Exception as error:
        raise DecodeError(f"The upcaster {label} of event {source} raised {type(error).__name__}.") from error
    if not isinstance(result, dict):
        raise DecodeError(f"The upcaster {label} of event {source} must return a dict of arguments by name.")
    return cast("dict[str, JsonValue]", result)


def _refuse_circle(contract: type, origin: EventIdentity) -> None:
    step = _find(contract, origin)
    while step is not None:
        if step.to == origin:
            raise ContractError(
                f"The upcasters from event {origin[0]!r} version {origin[1]} lead back to it; remove one."
            )
        step = _find(contract, step.to)


def _out_of_range(event: EventIdentity, version: int, last: int, name: str | None) -> str:
    text = f"An upcaster of event {event[0]!r} version {event[1]}"
    if name is None:
        return f"{text} must start from a version between 1 and {last}, not {version}."
    return (
        f"{text} cannot start from version {version} of {name!r}: a renamed event keeps its versions,"
        f" so give {event[0]!r} version={version} or a later one."
    )


def _unknown(contract: type, stored: EventIdentity, missing: EventIdentity) -> UnknownEvent | UnknownVersion:
    """Return the error about a stored event of which ``missing`` is the end of the chain."""
    defined = [str(version) for name, version in registry_of(contract).events if name == missing[0]]
    if not defined and stored == missing and all(name != stored[0] for name, _ in _all(contract)):
        return UnknownEvent(f"Event {stored[0]!r} is unknown to {contract.__name__}.")
    has = f"which has version {', '.join(defined)}" if defined else f"which has no event {missing[0]!r}"
    return UnknownVersion(
        f"Event {stored[0]!r} version {stored[1]} is unknown to {contract.__name__}, {has};"
        f" add an upcaster with from_version={missing[1]}."
    )


def _two_upcasters(origin: EventIdentity) -> ContractError:
    return ContractError(f"Event {origin[0]!r} has two upcasters from version {origin[1]}; remove one.")


def _registries(contract: type) -> Iterator[Registry]:
    # Mixins that are not contracts have none.
    return (registry for base in contract.__mro__ if isinstance(registry := vars(base).get(REGISTRY), Registry))


def _all(contract: type) -> list[EventIdentity]:
    return [identity for registry in _registries(contract) for identity in registry.upcasters]


def _find(contract: type, identity: EventIdentity) -> Upcast | None:
    found = (registry.upcasters.get(identity) for registry in _registries(contract))
    return next((step for step in found if step is not None), None)
