"""Loads the payloads of many events at once, from wherever their references say that they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

from event_backbone import telemetry
from event_backbone.errors import PayloadErased, PayloadForbidden, PayloadGone, StorageError
from event_backbone.model import Payload, PayloadReference
from event_backbone.storage.base import HandOver, Storage, StorageScope
from event_backbone.storage.gather import gather_all


async def load_all(
    scope: StorageScope, storage: Storage, references: Sequence[PayloadReference]
) -> list[Payload | StorageError]:
    """Return the payload, or the error, of each reference, in order, once all are there."""
    found: dict[int, Payload | StorageError] = {}
    await storage.load(scope, references, found.update)
    return [found[place] for place in range(len(references))]


async def load_payloads(
    scope: StorageScope, storages: Mapping[str, Storage], events: Sequence[tuple[PayloadReference, ...]]
) -> list[Payload | StorageError]:
    """Return what ``load_events`` finds, in order, once all is there."""
    found: dict[int, Payload | StorageError] = {}
    await load_events(scope, storages, events, found.update)
    return [found[place] for place in range(len(events))]


async def load_events(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    events: Sequence[tuple[PayloadReference, ...]],
    hand_over: HandOver,
) -> None:
    """Hand over each event's payload, or the one error that decides its fate, as soon as it is there.

    Every storage is asked once, all at the same time. Parts of a split payload are merged. When some part cannot be
    had, that is the event's outcome: erased before gone, since both are final, before unavailable, before forbidden. A
    storage that is not among ``storages`` makes the payload gone.
    """
    whole = [parts[0] for parts in events if len(parts) == 1]
    if len(whole) == len(events):
        await load_parts(scope, storages, whole, hand_over)
        return
    merging = _Merging(events, hand_over)
    await load_parts(scope, storages, merging.references, merging.take)


async def load_parts(
    scope: StorageScope, storages: Mapping[str, Storage], references: Sequence[PayloadReference], hand_over: HandOver
) -> None:
    """Hand over what each reference leads to as soon as it is there; every storage is asked once."""
    names = {reference.storage for reference in references}
    if len(names) == 1:
        await _load(scope, storages, names.pop(), references, hand_over)
        return
    places: dict[str, list[int]] = {name: [] for name in names}
    for place, reference in enumerate(references):
        places[reference.storage].append(place)
    await gather_all(
        _load(scope, storages, name, [references[place] for place in there], selected(there, hand_over))
        for name, there in places.items()
    )


def selected(places: Sequence[int], hand_over: HandOver) -> HandOver:
    """Return what hands over for a selection from a sequence: the first of it has the first of ``places`` there."""

    def take(answers: Iterable[tuple[int, Payload | StorageError]]) -> None:
        hand_over([(places[place], answer) for place, answer in answers])

    return take


async def _load(
    scope: StorageScope,
    storages: Mapping[str, Storage],
    name: str,
    references: Sequence[PayloadReference],
    hand_over: HandOver,
) -> None:
    storage = storages.get(name)
    if storage is None:
        gone = PayloadGone(f"No storage named {name!r} is configured here; add it to read it.")
        hand_over((place, gone) for place in range(len(references)))
        return
    started = perf_counter()
    await storage.load(scope, references, hand_over)
    telemetry.payload_duration.record(perf_counter() - started, {"storage": storage.name, "operation": "load"})


class _Merging:
    """Hands over each event once all its parts are there. One without any reference has no payload at once."""

    def __init__(self, events: Sequence[tuple[PayloadReference, ...]], hand_over: HandOver) -> None:
        self.references = [reference for parts in events for reference in parts]
        self._events = [event for event, parts in enumerate(events) for _ in parts]
        self._wanted = [len(parts) for parts in events]
        self._found: list[dict[int, Payload | StorageError]] = [{} for _ in events]
        self._hand_over = hand_over
        self._complete([event for event, parts in enumerate(events) if not parts])

    def take(self, answers: Iterable[tuple[int, Payload | StorageError]]) -> None:
        complete: list[int] = []
        for place, answer in answers:
            event = self._events[place]
            found = self._found[event]
            found[place] = answer
            if len(found) == self._wanted[event]:
                complete.append(event)
        self._complete(complete)

    def _complete(self, events: Sequence[int]) -> None:
        if events:
            self._hand_over(
                [(event, _merged([part for _, part in sorted(self._found[event].items())])) for event in events]
            )


def _merged(parts: Sequence[Payload | StorageError]) -> Payload | StorageError:
    if not parts:
        return PayloadGone("The entry refers to no payload.")
    errors = [part for part in parts if isinstance(part, StorageError)]
    if errors:
        return min(errors, key=_finality)
    if len(parts) == 1:
        return parts[0]
    return {name: value for part in parts if not isinstance(part, StorageError) for name, value in part.items()}


def _finality(error: StorageError) -> int:
    if isinstance(error, PayloadForbidden):
        return 3  # may be the mistake of a minute, of which every try is counted: none while another part is away
    return 0 if isinstance(error, PayloadErased) else 1 if isinstance(error, PayloadGone) else 2
