"""Copies the payloads of entries into another storage, and compares what is there then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from event_backbone.errors import (
    ConfigurationError,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import HashWrite, Payload, PayloadReference
from event_backbone.storage import CachedStorage, Storage, StorageScope
from event_backbone.storage.gather import gather_all
from event_backbone.storage.loading import collect_references
from event_backbone.stream.base import Stream
from event_backbone.stream.redis.migrating import CopiedEntry
from event_backbone.stream.values import Entry
from event_backbone.wire import INLINE_PREFIX, METADATA_FIELD, MetadataMembers, Record, is_redriven, read_entry
from event_backbone.wire.moving import with_references

_METADATA = METADATA_FIELD.encode()


@dataclass(slots=True)
class _Moving:
    """The payload of one entry: where it was, what was loaded, and where it is to be; nowhere if it is inline."""

    entry: Entry
    old: PayloadReference
    size_bytes: int
    content: Payload | StorageError
    new: PayloadReference | None = None
    writes: tuple[HashWrite, ...] = ()

    @property
    def copied(self) -> CopiedEntry:
        """The entry as it is to be."""
        fields = dict(self.entry.fields)
        fields[_METADATA] = with_references(fields[_METADATA], [self.new] if self.new else [])
        if self.new is None and not isinstance(self.content, StorageError):
            fields |= {f"{INLINE_PREFIX}{name}".encode(): value for name, value in self.content.items()}
        return CopiedEntry(self.entry.key.entry_id, fields, self.writes)


class PayloadCopies:
    """Copies payloads away from the storage of one name. Counts what became of them."""

    def __init__(
        self, scope: StorageScope, storages: Mapping[str, Storage], *, away_from: str, target: Storage, stream: Stream
    ) -> None:
        """Copy to ``target``; ``stream`` is the live one."""
        self._scope = scope
        self._away_from = away_from
        self._source = _durable(storages[away_from])
        self._target = _durable(target)
        self._erasing = storages[target.name]  # its cache, too
        self._plan = self._target.write_plan(scope)
        self._stream = stream
        self._moving: list[_Moving] = []
        self.moved = self.erased = self.gone = 0
        self.unnamed: list[PayloadReference] = []
        """Where payloads were under another key than the id of their event, as no later run could find out."""

    async def rewritten(self, entries: Sequence[tuple[Entry, PayloadReference | None, int]]) -> list[CopiedEntry]:
        """Save the payloads of the entries that have a reference, and return all entries as they are to be.

        Raises:
            StorageUnavailable: a storage does not answer.
            ConfigurationError: a storage refuses, or may not be read.
        """
        wanted = [(entry, reference, size) for entry, reference, size in entries if reference is not None]
        contents = await self._load(self._source, [reference for _, reference, _ in wanted])
        self._moving = [_Moving(*each, content) for each, content in zip(wanted, contents, strict=True)]
        await gather_all(self._save(each) for each in self._moving)
        copied = {each.entry.key: each.copied for each in self._moving}
        return [copied.get(entry.key) or CopiedEntry(entry.key.entry_id, entry.fields) for entry, _, _ in entries]

    async def verify(self) -> None:
        """Compare what was rewritten last, once it is beside the live stream, with the old storage as it is now.

        What was erased there since it was loaded is erased here. Whoever erases after this finds the copy.

        Raises:
            StorageUnavailable: a storage does not answer, or a copy is not as it was saved.
        """
        before = await self._load(self._source, [each.old for each in self._moving], fresh=True)
        moved = [(each.new, old) for each, old in zip(self._moving, before, strict=True) if each.new is not None]
        after = await self._load(self._target, [new for new, _ in moved])
        late = [new for (new, old), now in zip(moved, after, strict=True) if _erased_late(old, now)]
        if late:
            await self._erasing.erase(self._scope, late)
        for each, old in zip(self._moving, before, strict=True):
            if each.new is None and isinstance(old, PayloadErased):
                await self._stream.erase(each.entry.key)
        for (new, old), now in zip(moved, after, strict=True):
            _compare(new, old, now)
        self.moved += len(self._moving)
        self.unnamed += [each.old for each in self._moving if each.old.key != each.old.event_id]
        self.erased += sum(isinstance(old, PayloadErased) for old in before)
        self.gone += sum(type(each.content) is PayloadGone for each in self._moving)

    async def _load(
        self, storage: Storage, references: Sequence[PayloadReference], *, fresh: bool = False
    ) -> list[Payload | StorageError]:
        scope = replace(self._scope, fresh=fresh)
        contents = await collect_references(scope, storage, references) if references else []
        for content in contents:
            if isinstance(content, PayloadForbidden):
                raise ConfigurationError(str(content))
            if isinstance(content, StorageError) and not isinstance(content, PayloadErased | PayloadGone):
                raise content
        return contents

    async def _save(self, moving: _Moving) -> None:
        content, target = moving.content, self._target
        event_id = moving.old.event_id
        moving.new = PayloadReference(target.name, event_id, event_id)
        if isinstance(content, PayloadErased):
            tombstone = target.hash_beside_stream(self._scope, moving.new, None)
            if tombstone is not None:
                moving.writes = (tombstone,)
            else:
                moving.new = await self._saved(moving, {})
                await target.erase(self._scope, [moving.new])
        elif isinstance(content, StorageError):
            return  # gone: nothing is saved, and under this key there is nothing
        elif self._plan is None:
            moving.new = await self._saved(moving, content)
        else:
            write = self._plan(event_id, content)
            moving.new = None if write is None else moving.new
            moving.writes = () if write is None else (write,)

    async def _saved(self, moving: _Moving, payload: Payload) -> PayloadReference:
        metadata, _ = read_entry(moving.entry.fields, self._scope.stream, moving.entry.key)
        members = MetadataMembers.of_metadata(metadata)
        saved = await self._target.save(self._scope, Record(members, payload, members.id_text, moving.size_bytes))
        (reference,) = saved.references
        return reference


def movable(entry: Entry, references: Sequence[PayloadReference], away_from: str) -> PayloadReference | None:
    """Return the reference of an entry whose payload is to move; None if it stays.

    Raises:
        ConfigurationError: only a part of the payload is in that storage.
    """
    if is_redriven(entry.fields) or all(each.storage != away_from for each in references):
        return None
    if len(references) > 1:
        raise ConfigurationError(
            f"Event {entry.key} has only a part of its payload in storage {away_from!r}; whole payloads can move, and "
            "parts of a SplitStorage stay where they are."
        )
    return references[0]


def _durable(storage: Storage) -> Storage:
    """Return what keeps payloads: a cache may be behind, and old events are not worth a place in it."""
    return storage.origin if isinstance(storage, CachedStorage) else storage


def _erased_late(old: Payload | StorageError, now: Payload | StorageError) -> bool:
    return isinstance(old, PayloadErased) and not isinstance(now, PayloadErased)


def _compare(new: PayloadReference, old: Payload | StorageError, now: Payload | StorageError) -> None:
    if isinstance(old, StorageError) or isinstance(now, PayloadErased):
        return  # erased, or it has expired meanwhile
    if isinstance(now, StorageError) or dict(old) != dict(now):
        raise StorageUnavailable(
            f"The copy of event {new.event_id} in storage {new.storage!r} is not what was saved; nothing has changed."
        )
