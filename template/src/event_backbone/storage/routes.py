"""Which storage each argument of an event goes to, and whether that fits a contract."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from event_backbone.contract import Contract, EventDefinition, events_of, known_arguments
from event_backbone.errors import ConfigurationError
from event_backbone.storage.base import Storage
from event_backbone.storage.cached import CachedStorage
from event_backbone.storage.parts import Part, storage_of
from event_backbone.storage.redis_hash import refuse_inline

_MODULE = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


class Routes:
    """The storage of each argument: of the most specific name that is given for it."""

    def __init__(
        self,
        default: Storage,
        by_argument: Mapping[str, Storage | Part],
        by_event: Mapping[str, Storage | Part],
    ) -> None:
        """Choose by names; raise ConfigurationError if two storages have one name, or one is inline."""
        given = [_part(each) for each in (default, *by_event.values(), *by_argument.values())]
        parts = {_identity(part): part for part in given}
        _refuse_what_does_not_fit(tuple(parts.values()))
        storages = {identity: storage_of(part) for identity, part in parts.items()}
        self.default = default
        self.storages: Sequence[Storage] = tuple(storages.values())
        self._by_argument = {name: storages[_identity(_part(each))] for name, each in by_argument.items()}
        self._by_event = {name: storages[_identity(_part(each))] for name, each in by_event.items()}

    def of_event(self, event: str) -> Storage:
        """Return where the arguments of an event go that are not named themselves."""
        return self._by_event.get(event, self.default)

    def of_argument(self, event: str, argument: str) -> Storage:
        """Return where an argument of an event goes."""
        found = self._by_argument.get(f"{event}.{argument}") or self._by_argument.get(argument)
        return found or self.of_event(event)

    def check(self, contract: type[Contract]) -> None:
        """Raise ConfigurationError for a name that no event has, or an argument that cannot be missing."""
        known = known_arguments()
        for name in self._by_event:
            if name not in known:
                raise _unknown("by_event", name, "an event that no contract has", _nearest(name, known))
        own = {each.name for each in events_of(contract)}
        arguments = {name: _arguments_of(contract, name) if name in own else names for name, names in known.items()}
        for name in self._by_argument:
            _check_argument(name, known, arguments)
        for event in events_of(contract):
            self._check_types(event)

    def _check_types(self, event: EventDefinition) -> None:
        """Refuse an argument that is kept apart from the rest of its event, and cannot be missing."""
        codec = event.codec
        storages = {each.name: self.of_argument(event.name, each.name) for each in codec.parameters}
        if len(set(map(id, storages.values()))) <= 1:
            return
        rest = self.of_event(event.name)
        for each in codec.parameters:
            if storages[each.name] is not rest and each.required and each.name not in codec.nullable:
                raise ConfigurationError(
                    f"Argument {each.name!r} of event {event.name!r} is kept apart, in storage "
                    f"{storages[each.name].name!r}, so it can be missing: write `{_declared(event, each.name)} | None`,"
                    " or give it a default."
                )


def _part(given: Storage | Part) -> Part:
    return given if isinstance(given, Part) else Part(given)


def _identity(part: Part) -> tuple[object, bool]:
    """Return what is the same for parts of the same storage, which need not be hashable."""
    return part.storage if isinstance(part.storage, str) else id(part.storage), part.optional


def _check_argument(name: str, known: Mapping[str, Collection[str]], arguments: Mapping[str, Collection[str]]) -> None:
    event, _, argument = name.rpartition(".")
    if not event:
        every = {each for names in known.values() for each in names}
        if argument not in every:
            nearest = _nearest(argument, every)
            raise _unknown("by_argument", name, "an argument that no event has", nearest)
    elif event not in known:
        nearest = _nearest(event, [each for each, names in known.items() if argument in names], after=f".{argument}")
        raise _unknown("by_argument", name, f"but no contract has an event {event!r}", nearest)
    elif argument not in arguments[event]:
        nearest = _nearest(argument, arguments[event], before=f"{event}.")
        raise _unknown("by_argument", name, f"but event {event!r} has no argument {argument!r}", nearest)


def _nearest(name: str, known: Collection[str], *, before: str = "", after: str = "") -> str | None:
    return next((f"{before}{each}{after}" for each in get_close_matches(name, sorted(known), 1)), None)


def _unknown(parameter: str, name: str, problem: str, nearest: str | None) -> ConfigurationError:
    end = "." if nearest is None else f"; did you mean {nearest!r}?"
    return ConfigurationError(f"SplitStorage({parameter}=...) names {name!r}, {problem}{end}")


def _arguments_of(contract: type[Contract], name: str) -> frozenset[str]:
    return frozenset(
        argument for each in events_of(contract) if each.name == name for argument in each.signature.parameters
    )


def _declared(event: EventDefinition, argument: str) -> str:
    """Return an argument and its type as its owner wrote them."""
    annotation: object = event.signature.parameters[argument].annotation
    text = annotation if isinstance(annotation, str) else _MODULE.sub("", inspect.formatannotation(annotation))
    return f"{argument}: {text}"


def _refuse_what_does_not_fit(parts: Sequence[Part]) -> None:
    taken: set[str] = set()
    for part in parts:
        if not isinstance(part.storage, str):
            refuse_inline(part.storage, "the parts of a split are not in stream entries.")
        names = _names(part.storage)
        if both := taken & names:
            raise ConfigurationError(
                f"Two storages of a split are named {min(both)!r}; use one object for both, or give one another name=."
            )
        taken |= names


def _names(storage: Storage | str) -> set[str]:
    if isinstance(storage, str):
        return {storage}
    return {storage.name, storage.cache.name} if isinstance(storage, CachedStorage) else set(storage.readable())
