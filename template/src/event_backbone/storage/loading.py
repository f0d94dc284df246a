"""Loads payloads of many events at once, from the storages that their references name.

``load_...`` calls back as soon as something is there; ``collect_...`` returns a list once everything is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from event_backbone.errors import (
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    PayloadNotGiven,
    StorageError,
    StorageMissing,
    StorageUnavailable,
)
from event_backbone.model import PartialPayload, Payload, PayloadReference, decisive_error
from event_backbone.spans import storage_call
from event_backbone.storage.base import OnPayloads, Storage, StorageScope
from event_backbone.storage.gather import gather_all


async def collect_references(
    scope: StorageScope, storage: Storage, references: Sequence[PayloadReference]
) -> list[Payload | StorageError]:
    """Return the payload, or the error, of each reference to one storage, in order."""
    found: dict[int, Payload | StorageError] = {}
    await storage.load(scope, references, found.update)
    return [found[position] for position in range(len(references))]


async def collect_event_payloads(
    scope: StorageScope, storages: Mapping[str, Storage], events: Sequence[tuple[PayloadReference, ...]]
) -> list[Payload | StorageError]:
    """Return each event's payload, or the one error that decides its fate, in order."""
    found: dict[int, Payload | StorageError] = {}
    await load_event_payloads(scope, storages, events, found.update)
    return [found[position] for position in range(len(events))]


async def collect_available_payloads(
    scope: StorageScope, storages: Mapping[str, Storage], events: Sequence[tuple[PayloadReference, ...]]
) -> list[Payload | StorageError]:
    """Return the same as ``collect_event_payloads``; raise StorageUnavailable if a storage did not answer."""
    return _available(await collect_event_payloads(scope, storages, events))


async def collect_available_references(
    scope: StorageScope, storages: Mapping[str, Storage], references: Sequence[PayloadReference]
) -> list[Payload | StorageError]:
    """Return what each reference leads to, in order; raise StorageUnavailable if a storage did not answer."""
    found: dict[int, Payload | StorageError] = {}
    await load_references(scope, storages, references, found.update)
    return _available([found[position] for position in range(len(references))])


async def load_event_payloads(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    events: Sequence[tuple[PayloadReference, ...]],
    on_payloads: OnPayloads,
) -> None:
    """Call back with each event's payload, or the one error that decides its fate, as soon as it is there.

    Every storage is called once, all at the same time. Parts of a split payload are merged. A part that is unavailable,
    else one that is forbidden, decides for the event. If the others are erased, gone, or not given on purpose, the
    result is a PartialPayload of those that are there; without any it is the error: erased before gone. A storage that
    is not among ``storages`` is StorageMissing.
    """
    whole = [parts[0] for parts in events if len(parts) == 1]
    if len(whole) == len(events):
        await load_references(scope, storages, whole, on_payloads)
        return
    merging = _Merging(events, on_payloads)
    await load_references(scope, storages, merging.references, merging.add)


async def load_references(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    references: Sequence[PayloadReference],
    on_payloads: OnPayloads,
) -> None:
    """Call back with what each reference leads to as soon as it is there; every storage is called once."""
    names = {reference.storage for reference in references}
    if len(names) == 1:
        await _load(scope, storages, names.pop(), references, on_payloads)
        return
    positions: dict[str, list[int]] = {name: [] for name in names}
    for position, reference in enumerate(references):
        positions[reference.storage].append(position)
    await gather_all(
        _load(scope, storages, name, [references[position] for position in own], at_positions(own, on_payloads))
        for name, own in positions.items()
    )


def is_gone(content: Payload | StorageError) -> bool:
    """Return whether a storage has lost a payload, or a part of it: it is neither forbidden nor withheld on purpose."""
    if isinstance(content, PartialPayload):
        return any(map(is_gone, content.missing.values()))
    return isinstance(content, PayloadGone) and not isinstance(content, PayloadForbidden | PayloadNotGiven)


def at_positions(positions: Sequence[int], on_payloads: OnPayloads) -> OnPayloads:
    """Return a callback for a part of a sequence, whose members are at these positions of the whole."""

    def on_part_loaded(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
        on_payloads([(positions[position], result) for position, result in results])

    return on_part_loaded


def merged_payload(names: Sequence[str], parts: Sequence[Payload | StorageError]) -> Payload | StorageError:
    """Return the payload of an event whose parts are these, each from the storage of that name, or its one error."""
    if not parts:
        return PayloadGone("The entry refers to no payload.")
    if len(parts) == 1:
        return parts[0]
    missing = {name: part for name, part in zip(names, parts, strict=True) if isinstance(part, StorageError)}
    if not missing:
        return _joined(parts)
    error = decisive_error(missing.values())
    if len(missing) == len(parts) or isinstance(error, StorageUnavailable | PayloadForbidden):
        return error
    return PartialPayload(_joined(parts), missing)


def storage_missing(name: str) -> StorageMissing:
    """Return the error about a storage that this process was not given."""
    return StorageMissing(f"No storage named {name!r} is configured; pass it to Backbone as storage= or in also_read=.")


async def _load(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    name: str,
    references: Sequence[PayloadReference],
    on_payloads: OnPayloads,
) -> None:
    storage = storages.get(name)
    if storage is None:
        missing = storage_missing(name)
        on_payloads((position, missing) for position in range(len(references)))
        return
    with storage_call(storage.name, "load", len(references)) as call:
        await storage.load(scope, references, _telling(call, on_payloads) if call.traced else on_payloads)


def _telling(call: storage_call, on_payloads: OnPayloads) -> OnPayloads:
    """Return a callback that also records what could not be loaded, in the call's span."""

    def on_loaded(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
        found = list(results)
        for _, result in found:
            if isinstance(result, StorageError) and not isinstance(result, PayloadErased | PayloadNotGiven):
                call.failed(result)
        on_payloads(found)

    return on_loaded


class _Merging:
    """Calls back with each event once all its parts are there; at once with one that has no reference."""

    def __init__(self, events: Sequence[tuple[PayloadReference, ...]], on_payloads: OnPayloads) -> None:
        self.references = [reference for parts in events for reference in parts]
        self._parts = events
        self._events = [event for event, parts in enumerate(events) for _ in parts]
        self._found: list[dict[int, Payload | StorageError]] = [{} for _ in events]
        self._on_payloads = on_payloads
        self._complete([event for event, parts in enumerate(events) if not parts])

    def add(self, results: Iterable[tuple[int, Payload | StorageError]]) -> None:
        complete: list[int] = []
        for position, result in results:
            event = self._events[position]
            found = self._found[event]
            found[position] = result
            if len(found) == len(self._parts[event]):
                complete.append(event)
        self._complete(complete)

    def _complete(self, events: Sequence[int]) -> None:
        if events:
            self._on_payloads([(event, self._merged(event)) for event in events])

    def _merged(self, event: int) -> Payload | StorageError:
        found = [part for _, part in sorted(self._found[event].items())]
        return merged_payload([reference.storage for reference in self._parts[event]], found)


def _available(contents: list[Payload | StorageError]) -> list[Payload | StorageError]:
    for content in contents:
        if isinstance(content, StorageUnavailable):
            raise content
    return contents


def _joined(parts: Sequence[Payload | StorageError]) -> dict[str, bytes]:
    return {name: value for part in parts if not isinstance(part, StorageError) for name, value in part.items()}
