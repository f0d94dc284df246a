"""Loads the payloads of many events at once, from wherever their references say that they lie."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter

from event_backbone import telemetry
from event_backbone.errors import PayloadErased, PayloadForbidden, PayloadGone, StorageError
from event_backbone.metadata import Payload, PayloadReference
from event_backbone.storage.base import Storage, StorageScope


async def load_payloads(
    scope: StorageScope, storages: Mapping[str, Storage], references: Sequence[tuple[PayloadReference, ...]]
) -> list[Payload | StorageError]:
    """Return each event's payload, or the one error that decides its fate, in order; never raises a StorageError.

    Every storage is asked once, all at the same time. Parts of a split payload are merged. When some part cannot be
    had, that is the event's outcome: erased before gone, since both are final, before unavailable. A storage that is
    not among ``storages`` makes the payload gone.
    """
    whole = [parts[0] for parts in references if len(parts) == 1]
    if len(whole) == len(references) and len({reference.storage for reference in whole}) == 1:
        # The usual case, at a fifth of the cost of the general one (1 µs an event).
        return list(await _load(scope, storages.get(whole[0].storage), whole))
    wanted: dict[str, list[PayloadReference]] = {}
    for parts in references:
        for reference in parts:
            wanted.setdefault(reference.storage, []).append(reference)
    answers = await asyncio.gather(*(_load(scope, storages.get(name), asked) for name, asked in wanted.items()))
    # Each storage answers in the order in which it was asked, so that nothing needs to be looked up.
    loaded = {name: iter(answer) for name, answer in zip(wanted, answers, strict=True)}
    return [_merged([next(loaded[reference.storage]) for reference in parts]) for parts in references]


async def _load(
    scope: StorageScope, storage: Storage | None, references: Sequence[PayloadReference]
) -> Sequence[Payload | StorageError]:
    if storage is None:
        name = references[0].storage
        return [PayloadGone(f"No storage named {name!r} is configured here; add it to read it.")] * len(references)
    started = perf_counter()
    found = await storage.load(scope, references)
    telemetry.payload_duration.record(perf_counter() - started, {"storage": storage.name, "operation": "load"})
    return found


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
