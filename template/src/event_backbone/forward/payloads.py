"""The payloads of forwarded events: by reference where the target reads the very same place, else copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic_core import from_json, to_json

from event_backbone.errors import PayloadForbidden, PayloadNotGiven, StorageError, StorageUnavailable
from event_backbone.forward.link import Link
from event_backbone.forward.source import SourceEvent
from event_backbone.model import PartialPayload, Payload, PayloadReference, SavedPayload
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import collect_available_payloads
from event_backbone.storage.sharing import is_same_place
from event_backbone.stream.values import NewEntry
from event_backbone.wire import MetadataMembers, Record, read_inline, write_references
from event_backbone.wire.origin import ORIGIN_MEMBER, read_origin

if TYPE_CHECKING:
    from event_backbone.archive.cold_reads import ColdReads


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a link: its stream, where payloads may be there, by name, and what reads its archive."""

    scope: StorageScope
    storages: Mapping[str, Storage]
    cold: ColdReads | None


class Payloads:
    """Makes entries of the target of events of the source."""

    def __init__(self, link: Link, source: Side, target: Side, storage: Storage, *, copy_payloads: bool) -> None:
        """Copy payloads to ``storage``, all of them with ``copy_payloads``."""
        self._link = link
        self._source = source
        self._target = target
        self._storage = storage
        self._plan = storage.write_plan(target.scope)
        self._copies_all = copy_payloads
        self._shared: dict[str, bool] = {}

    def is_copied(self, event: SourceEvent) -> bool:
        """Return whether the payload has to be copied: the target does not read it where it is."""
        if self._copies_all or event.archived is not None or not event.references:
            return True
        return not all(self._is_shared(each.storage) for each in event.references)

    async def load(self, events: Sequence[SourceEvent]) -> list[Payload | StorageError]:
        """Return each event's payload, or why it is not there; in part, if only a part of it is not.

        Raises:
            StorageUnavailable: a payload may be there later, or for a program with other permissions or storages.
        """
        return await load_payloads(self._source, events)

    async def entries(self, events: Sequence[tuple[SourceEvent, Payload | None]]) -> list[NewEntry]:
        """Save payloads in the target, all at once, and return the entries; without a payload its reference is kept.

        Raises StorageUnavailable or ConfigurationError as ``Storage.save`` does.
        """
        return list(await gather_all(self._entry(event, payload) for event, payload in events))

    async def _entry(self, event: SourceEvent, payload: Payload | None) -> NewEntry:
        members: dict[str, Any] = event.members
        hops = [*(members.get(ORIGIN_MEMBER) or ()), self._link.hop(event.key)]
        written = {**members, ORIGIN_MEMBER: hops}
        event_id = UUID(members["id"])
        if payload is None:
            return NewEntry(event_id, to_json(written))
        if self._plan is None:
            saved = await self._storage.save(self._target.scope, _record(event, payload, written))
        else:
            write = self._plan(members["id"], payload)
            if write is None:
                return NewEntry(event_id, to_json({**written, "payload": []}), inline=payload)
            saved = SavedPayload((PayloadReference(self._storage.name, members["id"], members["id"]),), (write,))
        references = (*saved.references, *self._missing_parts(members["id"], payload, saved))
        written["payload"] = from_json(write_references(references))
        return NewEntry(event_id, to_json(written), saved.writes)

    def _missing_parts(self, event_id: str, payload: Payload, saved: SavedPayload) -> list[PayloadReference]:
        """Return references to the parts that are missing, so that the payload is partial in the target as well."""
        if not isinstance(payload, PartialPayload):
            return []
        there = {each.storage for each in saved.references}
        names = [name for name in payload.missing if name in self._target.storages and name not in there]
        return [PayloadReference(name, event_id, event_id) for name in names]

    def _is_shared(self, name: str) -> bool:
        shared = self._shared.get(name)
        if shared is None:
            ours, theirs = self._source.storages.get(name), self._target.storages.get(name)
            if ours is not None and theirs is not None:
                shared = is_same_place(ours, self._source.scope, theirs, self._target.scope)
            shared = self._shared[name] = bool(shared)
        return shared


async def load_payloads(side: Side, events: Sequence[SourceEvent]) -> list[Payload | StorageError]:
    """Return each event's payload, or why it is not there; from the archive, if only that has it.

    Raises StorageUnavailable: a payload may be there later, or for a program with other permissions or storages.
    """
    found: dict[int, Payload | StorageError] = {}
    live = [(position, each) for position, each in enumerate(events) if each.entry is not None and each.references]
    for position, each in enumerate(events):
        if each.entry is not None and not each.references:
            found[position] = read_inline(each.entry.fields)
    if live:
        contents = await _live_payloads(side, [each for _, each in live])
        found.update((position, content) for (position, _), content in zip(live, contents, strict=True))
    archived = [(position, each.archived) for position, each in enumerate(events) if each.archived is not None]
    if archived:
        from event_backbone.archive.reading import stored_events  # noqa: PLC0415 - only with an archive

        segment = archived[0][1][1]
        stored = await stored_events(side.scope, side.storages, [event for _, (event, _) in archived], segment)
        found.update((position, each.content) for (position, _), each in zip(archived, stored, strict=True))
    return [_decided(found[position]) for position in range(len(events))]


async def _live_payloads(side: Side, events: Sequence[SourceEvent]) -> list[Payload | StorageError]:
    if side.cold is None:
        return await collect_available_payloads(side.scope, side.storages, [each.references for each in events])
    from event_backbone.archive.fallback import collect_with_archive  # noqa: PLC0415 - only with an archive

    places = [(each.key, each.references) for each in events]
    return await collect_with_archive(side.scope, side.storages, side.cold, places)


def _decided(content: Payload | StorageError) -> Payload | StorageError:
    """Refuse to go on without what this program may not read: another one could."""
    errors = content.missing.values() if isinstance(content, PartialPayload) else [content]
    for error in errors:
        if isinstance(error, PayloadForbidden | PayloadNotGiven):
            raise StorageUnavailable(f"A payload cannot be forwarded, as this program may not read it: {error}")
    return content


def _record(event: SourceEvent, payload: Payload, written: Mapping[str, Any]) -> Record:
    """Return what is saved of an event; its metadata is that of the target."""
    metadata = MetadataMembers(
        UUID(written["id"]),
        written["id"],
        written["event"],
        written["version"],
        written["at"],
        written.get("correlation"),
        written.get("causation"),
        written.get("key"),
        written.get("headers") or {},
        read_origin(written[ORIGIN_MEMBER]),
    )
    return Record(metadata, payload, written["id"], event.size_bytes)
