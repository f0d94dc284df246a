"""Reads records out of packs: of a batch whole packs, of a single line a range, and from a cache what it has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

from event_backbone.errors import DecodeError, PayloadErased, PayloadForbidden, PayloadGone, StorageError
from event_backbone.model import Payload, PayloadReference
from event_backbone.storage.base import OnPayloads, StorageScope
from event_backbone.storage.gather import gather_all
from event_backbone.storage.per_loop import PerLoop
from event_backbone.storage.s3.keys import pack_key, pack_time
from event_backbone.storage.s3.options import S3Options
from event_backbone.storage.s3.pack_cache import KEPT_FOR, PackCache, PackPlace
from event_backbone.storage.s3.pack_line import PackLine
from event_backbone.storage.single_flight import SingleFlight
from event_backbone.wire import read_record

if TYPE_CHECKING:
    from event_backbone.storage.s3.object_store import ObjectStore

ExplainMissing = Callable[["ObjectStore", str, str, float | None, PayloadGone], Awaitable[StorageError]]
"""Returns what it means that an environment's bucket does not have the object with this key, written at this time."""

_Fetches = SingleFlight[tuple[PackPlace, int], bytes | StorageError]


@dataclass(slots=True)
class _Wanted:
    """Lines of one pack, each with its position among the references that are loaded."""

    place: PackPlace
    lines: list[tuple[int, str, PackLine]] = field(default_factory=list[tuple[int, str, PackLine]])

    @property
    def first_byte(self) -> int:
        return min(line.offset_bytes for _, _, line in self.lines)

    @property
    def end_byte(self) -> int:
        return max(line.offset_bytes + line.length_bytes for _, _, line in self.lines)


class PackReader:
    """Reads what references lead to. May be used from several event loops and threads.

    Packs of which several lines are wanted, or a second single one within 60 s, are read whole and kept in a cache;
    whoever wants one that is being read waits for it, in the same event loop. A line is given only to the event whose
    record it is; what is not is read once more from S3 itself before it counts as damaged.
    """

    def __init__(self, options: S3Options, explain_missing: ExplainMissing, *, kept_for: timedelta = KEPT_FOR) -> None:
        """Read from the bucket of these options; ``explain_missing`` decides what a missing object means."""
        self._options = options
        self._explain_missing = explain_missing
        self._cache = PackCache(options.pack_cache_bytes, kept_for)
        self._fetches: PerLoop[_Fetches] = PerLoop(_Fetches)

    async def load(
        self, objects: ObjectStore, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads
    ) -> None:
        """Call back with the lines of each pack, all at once, as soon as it is there. ``Storage.load`` says more."""
        packs = self._by_pack(scope, references, on_payloads)
        if scope.fresh:
            for pack in packs:
                self._cache.forget(pack.place.key)
        if len(packs) == 1:
            await self._load_pack(objects, scope, packs[0], on_payloads)
        elif packs:
            await gather_all(self._load_pack(objects, scope, pack, on_payloads) for pack in packs)

    def forget(self, key: str) -> None:
        """Read the object with this key again, as it has changed."""
        self._cache.forget(key)

    def close(self) -> None:
        """Forget every pack."""
        self._cache.clear()

    def _by_pack(
        self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads
    ) -> list[_Wanted]:
        packs: dict[str, _Wanted] = {}
        for position, reference in enumerate(references):
            try:
                line = PackLine.parse(reference.key)
            except DecodeError as error:
                on_payloads([(position, PayloadGone(str(error)))])
                continue
            wanted = packs.get(line.pack_id)
            if wanted is None:
                key = pack_key(self._options, scope.stream, line.pack_id)
                wanted = packs[line.pack_id] = _Wanted(PackPlace(scope.stream.environment, key))
            wanted.lines.append((position, reference.event_id, line))
        return list(packs.values())

    async def _load_pack(
        self, objects: ObjectStore, scope: StorageScope, wanted: _Wanted, on_payloads: OnPayloads
    ) -> None:
        first_byte, found = await self._find(objects, wanted)
        damaged = _Wanted(wanted.place)
        if results := _read_lines(scope, wanted, first_byte, found, damaged):
            on_payloads(results)
        if damaged.lines:
            on_payloads(await self._read_again(objects, scope, damaged))

    async def _find(self, objects: ObjectStore, wanted: _Wanted) -> tuple[int, bytes | StorageError]:
        """Return the whole pack or the part that is wanted, and which of the pack's bytes is the first in it."""
        place = wanted.place
        pack = self._cache.get(place)
        if pack is not None:
            return 0, pack
        fetches, fetch = self._fetches.get(), (place, self._cache.forgotten)
        if len(wanted.lines) > 1 or fetches.under_way(fetch) or self._cache.is_wanted_again(place):
            return 0, await fetches.call(fetch, lambda: self._fetch(objects, *fetch))
        return wanted.first_byte, await self._fetch_range(objects, wanted)

    async def _fetch(self, objects: ObjectStore, place: PackPlace, forgotten: int) -> bytes | StorageError:
        read_at = monotonic()
        pack = await self._explained(objects, place, objects.read(place.key))
        if isinstance(pack, bytes):
            self._cache.keep(place, pack, read_at, forgotten)
        return pack

    async def _fetch_range(self, objects: ObjectStore, wanted: _Wanted) -> bytes | StorageError:
        first_byte, place = wanted.first_byte, wanted.place
        part = objects.read_range(place.key, first_byte, wanted.end_byte - first_byte)
        return await self._explained(objects, place, part)

    async def _explained(self, objects: ObjectStore, place: PackPlace, read: Awaitable[bytes]) -> bytes | StorageError:
        try:
            return await read
        except PayloadForbidden as error:
            return error
        except PayloadGone as error:
            return await self._explain_missing(objects, place.environment, place.key, pack_time(place.key), error)
        except StorageError as error:
            return error

    async def _read_again(
        self, objects: ObjectStore, scope: StorageScope, damaged: _Wanted
    ) -> list[tuple[int, Payload | StorageError]]:
        """Read damaged lines past the cache, in one request; what is still damaged is gone."""
        found = await self._fetch_range(objects, damaged)
        still = _Wanted(damaged.place)
        results = _read_lines(scope, damaged, damaged.first_byte, found, still)
        if results and not isinstance(found, StorageError):
            self._cache.forget(damaged.place.key)  # the copy was wrong, not S3
        for position, event_id, _ in still.lines:
            text = f"The record of event {event_id} in the S3 object {damaged.place.key} is damaged."
            results.append((position, PayloadGone(text)))
        return results


def _read_lines(
    scope: StorageScope, wanted: _Wanted, first_byte: int, found: bytes | StorageError, damaged: _Wanted
) -> list[tuple[int, Payload | StorageError]]:
    """Return what the lines are, with their positions, except those that are not the records of their events."""
    if isinstance(found, StorageError):
        return [(position, found) for position, _, _ in wanted.lines]
    results: list[tuple[int, Payload | StorageError]] = []
    for position, event_id, line in wanted.lines:
        start = line.offset_bytes - first_byte
        try:
            record = found[start : start + line.length_bytes]
            payload = read_record(record, event_id, scope.stream, split=not scope.written)
        except DecodeError:
            damaged.lines.append((position, event_id, line))
            continue
        results.append((position, _erased(wanted.place) if payload is None else payload))
    return results


def _erased(place: PackPlace) -> PayloadErased:
    return PayloadErased(f"The payload in the S3 object {place.key} was erased.")
