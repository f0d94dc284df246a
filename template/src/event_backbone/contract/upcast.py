"""Upcasters turn stored events of earlier versions into a version that the contract defines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from event_backbone.contract.registry import REGISTRY, Registry, Upcaster, registry_of
from event_backbone.errors import ContractError, DecodeError, UnknownVersion


def add_upcaster(contract: type, name: str, *, from_version: int, below: int, upcaster: Upcaster) -> None:
    """Let ``upcaster`` turn ``from_version`` of event ``name`` of ``contract`` into the next version.

    Raises:
        ContractError: the version is not between 1 and ``below`` - 1, is defined, or already has an upcaster.
    """
    if not 1 <= from_version < below:
        raise ContractError(
            f"An upcaster of event {name!r} version {below} must start from a version between 1 and {below - 1},"
            f" not {from_version}."
        )
    if _find(contract, name, from_version) is not None:
        raise ContractError(f"Event {name!r} has two upcasters from version {from_version}; remove one.")
    registry_of(contract).upcasters[name, from_version] = upcaster
    try:
        check_upcasters_reachable(contract)
    except ContractError:
        del registry_of(contract).upcasters[name, from_version]
        raise


def check_upcasters_reachable(contract: type) -> None:
    """Raise ContractError for an upcaster that would never run, or that two classes of the MRO define."""
    seen: set[tuple[str, int]] = set()
    for name, version in _all(contract):
        if (name, version) in registry_of(contract).events:
            raise ContractError(
                f"Event {name!r} version {version} is defined, so its upcaster would never run; remove either."
            )
        if (name, version) in seen:
            raise ContractError(f"Event {name!r} has two upcasters from version {version}; remove one.")
        seen.add((name, version))


def check_upcasters(contract: type) -> None:
    """Raise ContractError if a chain of upcasters does not end in a version that the contract defines."""
    check_upcasters_reachable(contract)
    known = {*registry_of(contract).events, *_all(contract)}
    for name, version in _all(contract):
        if (name, version + 1) not in known:
            raise ContractError(
                f"Event {name!r} has an upcaster from version {version} but nothing for version {version + 1};"
                f" add an upcaster with from_version={version + 1}."
            )


def target_version(contract: type, name: str, version: int) -> int:
    """Return the version that upcasters turn ``version`` into; raise UnknownVersion without a chain of them."""
    target = version
    while (name, target) not in registry_of(contract).events:
        if _find(contract, name, target) is None:
            defined = ", ".join(str(known) for event, known in registry_of(contract).events if event == name)
            raise UnknownVersion(
                f"Event {name!r} version {version} is unknown to {contract.__name__}, which has version {defined};"
                f" add an upcaster with from_version={target}."
            )
        target += 1
    return target


def upcast(contract: type, name: str, version: int, payload: Mapping[str, bytes]) -> tuple[int, dict[str, bytes]]:
    """Turn a payload into one of the nearest version that ``contract`` defines; return that version and payload.

    Raises:
        UnknownVersion: there is no chain of upcasters from ``version`` to a defined one.
        DecodeError: the payload is not valid JSON, or an upcaster raised an error (the cause) or returned no arguments.
    """
    events = registry_of(contract).events
    target = target_version(contract, name, version)
    try:
        arguments: dict[str, JsonValue] = {argument: from_json(value) for argument, value in payload.items()}
    except ValueError:
        raise DecodeError(f"The payload of event {name!r} version {version} is not valid JSON.") from None
    while (name, version) not in events:
        upcaster = cast("Upcaster", _find(contract, name, version))
        arguments = _run(upcaster, f"{name!r} from version {version}", arguments)
        version += 1
    try:
        return target, {argument: to_json(value, inf_nan_mode="strings") for argument, value in arguments.items()}
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


def _registries(contract: type) -> Iterator[Registry]:
    # Mixins that are not contracts have none.
    return (registry for base in contract.__mro__ if isinstance(registry := vars(base).get(REGISTRY), Registry))


def _all(contract: type) -> list[tuple[str, int]]:
    return [key for registry in _registries(contract) for key in registry.upcasters]


def _find(contract: type, name: str, version: int) -> Upcaster | None:
    found = (registry.upcasters.get((name, version)) for registry in _registries(contract))
    return next((upcaster for upcaster in found if upcaster is not None), None)
