"""Loads the payloads of many events at once, from wherever their references say that they lie."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter

from event_backbone import telemetry
from event_backbone.errors import PayloadErased, PayloadGone, StorageError
from event_backbone.metadata import Payload, PayloadReference
from event_backbone.storage.base import Storage, StorageScope

_Loaded = dict[PayloadReference, Payload | StorageError]


async def load_payloads(
    scope: StorageScope, storages: Mapping[str, Storage], references: Sequence[tuple[PayloadReference, ...]]
) -> list[Payload | StorageError]:
    """Return each event's payload, or the one error that decides its fate, in order; never raises a StorageError.

    Every storage is asked once, all at the same time. Parts of a split payload are merged. When some part cannot be
    had, that is the event's outcome: erased before gone, since both are final, before unavailable. A storage that is
    not among ``storages`` makes the payload gone.
    """
    wanted: dict[str, dict[PayloadReference, None]] = {}
    for parts in references:
        for reference in parts:
            wanted.setdefault(reference.storage, {})[reference] = None
    answers = await asyncio.gather(*(_load(scope, storages.get(name), tuple(keys)) for name, keys in wanted.items()))
    loaded: _Loaded = {}
    for answer in answers:
        loaded.update(answer)
    return [_merged([loaded[reference] for reference in parts]) for parts in references]


async def _load(scope: StorageScope, storage: Storage | None, references: Sequence[PayloadReference]) -> _Loaded:
    if storage is None:
        name = references[0].storage
        return dict.fromkeys(
            references, PayloadGone(f"No storage named {name!r} is configured here; add it to read it.")
        )
    started = perf_counter()
    found = await storage.load(scope, references)
    telemetry.payload_duration.record(perf_counter() - started, {"storage": storage.name, "operation": "load"})
    return dict(zip(references, found, strict=True))


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
    return 0 if isinstance(error, PayloadErased) else 1 if isinstance(error, PayloadGone) else 2
