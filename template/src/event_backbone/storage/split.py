"""A payload split over storages by argument, so that each part can be kept and erased by its own rules."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from event_backbone.contract import Contract, argument_names
from event_backbone.errors import ConfigurationError
from event_backbone.model import Payload, PayloadReference, SavedPayload
from event_backbone.storage.base import OnPayloads, Storage, StorageScope, WritePlan
from event_backbone.storage.cached import CachedStorage
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import load_references
from event_backbone.storage.redis_hash import refuse_inline
from event_backbone.wire import Record

_log = logging.getLogger("event_backbone")


class SplitStorage:
    """Keeps each argument named in ``by_argument`` in the storage given there, and all others in ``default``.

    An event has a reference to each storage that holds a part of it, and loading merges the parts. An event without
    arguments is kept in ``default``.

    A name that no event has, of any contract of the process, is logged as a warning when the first producer is made:
    its argument would stay in ``default``. It is no error, as several programs may share one split and each know only
    some of the contracts.
    """

    def __init__(self, default: Storage, by_argument: Mapping[str, Storage]) -> None:
        """Choose a storage for each argument; the same name means the same storage in every event.

        Raises:
            ConfigurationError: two of the storages, or their caches, have the same name, or one of them puts payloads
                into stream entries.
        """
        self._default = default
        self._by_argument = dict(by_argument)
        self._parts = _parts(default, self._by_argument)
        self._warned = False
        self._readable = {name: storage for part in self._parts for name, storage in part.readable().items()}

    @property
    def name(self) -> str:
        """The name of the default storage; references name the storage of their part."""
        return self._default.name

    @property
    def parts(self) -> Sequence[Storage]:
        """Every storage once, ``default`` first."""
        return self._parts

    def write_plan(self, scope: StorageScope) -> WritePlan | None:  # noqa: ARG002 - a part saves first, wherever
        """Return None: the parts are saved first. A producer asks as it is made: now the contracts are known."""
        if not self._warned:
            self._warned = True
            self._warn_of_unknown_arguments()
        return None

    def check_contract(self, contract: type[Contract]) -> None:
        """Ask every part."""
        for part in self._parts:
            part.check_contract(contract)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save the parts at the same time. Raises the first error of any part; the other parts may be saved."""
        pieces = self._split(record.payload)
        parts = tuple(part.name for part, _ in pieces)
        saved = await gather_all(
            part.save(scope, replace(record, payload=piece, part=part.name, parts=parts)) for part, piece in pieces
        )
        return SavedPayload(
            tuple(reference for each in saved for reference in each.references),
            tuple(write for each in saved for write in each.writes),
        )

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load the part that each reference leads to, unmerged, from all storages at the same time."""
        await load_references(scope, self._readable, references, on_payloads)

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Erase the parts that the references lead to."""
        await gather_all(storage.erase(scope, group) for storage, group in self._grouped(references))

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the reference's part is kept."""
        return self._readable.get(reference.storage, self._default).location(scope, reference)

    def readable(self) -> Mapping[str, Storage]:
        """Return the parts under their names."""
        return self._readable

    async def check(self, scope: StorageScope) -> None:
        """Check every part."""
        for part in self._parts:
            await part.check(scope)

    async def close(self) -> None:
        """Close every part."""
        for part in self._parts:
            await part.close()

    def _warn_of_unknown_arguments(self) -> None:
        known = argument_names()
        for name in self._by_argument:
            if name not in known:
                nearest = get_close_matches(name, known, 1)
                end = f"; did you mean {nearest[0]!r}?" if nearest else "."
                _log.warning("SplitStorage(by_argument=...) names %r, an argument that no event has%s", name, end)

    def _split(self, payload: Payload) -> list[tuple[Storage, Payload]]:
        pieces: dict[int, dict[str, bytes]] = {}
        for name, value in payload.items():
            pieces.setdefault(id(self._by_argument.get(name, self._default)), {})[name] = value
        found: list[tuple[Storage, Payload]] = [(part, pieces[id(part)]) for part in self._parts if id(part) in pieces]
        return found or [(self._default, {})]

    def _grouped(self, references: Sequence[PayloadReference]) -> list[tuple[Storage, list[PayloadReference]]]:
        groups: dict[str, list[PayloadReference]] = {}
        for reference in references:
            if reference.storage in self._readable:
                groups.setdefault(reference.storage, []).append(reference)
        return [(self._readable[name], group) for name, group in groups.items()]


def _parts(default: Storage, by_argument: Mapping[str, Storage]) -> tuple[Storage, ...]:
    parts = tuple({id(storage): storage for storage in (default, *by_argument.values())}.values())
    taken: set[str] = set()
    for part in parts:
        refuse_inline(part, "the parts of a split are not in the stream entry, so that each can be erased alone.")
        names = {part.name, part.cache.name} if isinstance(part, CachedStorage) else set(part.readable())
        if both := taken & names:
            raise ConfigurationError(
                f"Two storages of a split are named {min(both)!r}; give one of them another name=."
            )
        taken |= names
    return parts
