"""Erases what storages still have of an event whose payload has moved away from them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from uuid import UUID

from event_backbone.errors import ArgumentsInvalid, ConfigurationError, PayloadGone, StorageUnavailable
from event_backbone.model import EventKey, PayloadReference, event_id_time
from event_backbone.storage.base import HashPlace, RecordLog, Storage, StorageScope
from event_backbone.storage.gather import gather_all
from event_backbone.storage.hash_scripts import remove_hashes
from event_backbone.wire import id_of_record

_log = logging.getLogger("event_backbone")


class MovedCopies:
    """What the storages that new payloads no longer go to have of one event: hashes by its id, and its records."""

    def __init__(
        self, scope: StorageScope, storages: Mapping[str, Storage], own: Collection[str], spread: timedelta
    ) -> None:
        """Look into these storages, except those that new payloads go to, which ``own`` names.

        Records were saved within ``spread`` of the times of an event.
        """
        self._scope = scope
        self._storages = storages
        self._own = own
        self._spread = spread

    @property
    def in_records(self) -> bool:
        """Whether one of the storages keeps records."""
        others = [each for name, each in self._storages.items() if name not in self._own]
        return any(each.record_log(self._scope) is not None for each in others)

    async def erase(
        self, key: EventKey, event_id: UUID, named: Collection[str], archived: Sequence[PayloadReference]
    ) -> list[str]:
        """Erase what is there in other storages than those ``named`` by the event's entry; return where it was.

        ``archived`` is where the event's payload was when it was archived. A storage that refuses is logged.

        Raises StorageUnavailable when one does not answer; call it again.
        """
        in_use = {*self._own, *named}
        kept = {
            place.purpose for name, each in self._storages.items() if name in in_use for place in each.hash_places()
        }
        calls = [
            self._erase(storage, key, event_id, [each for each in archived if each.storage == name], kept)
            for name, storage in self._storages.items()
            if name not in in_use
        ]
        return [place for places in await gather_all(calls) for place in places]

    async def _erase(
        self, storage: Storage, key: EventKey, event_id: UUID, known: Sequence[PayloadReference], kept: Collection[str]
    ) -> list[str]:
        found: list[str] = []
        try:
            log = storage.record_log(self._scope)
            if log is not None and (references := {*known, *await self._recorded(log, key, event_id)}):
                with suppress(PayloadGone):
                    await storage.erase(self._scope, [*references])
                found += [storage.location(self._scope, each) for each in references]
            for place in storage.hash_places():
                if place.purpose not in kept:
                    found += await self._removed(place, str(event_id))
        except ConfigurationError as error:
            _log.warning(
                "Storage %r may still have a copy of event %s, whose payload has moved: %s", storage.name, key, error
            )
        return found

    async def _recorded(self, log: RecordLog, key: EventKey, event_id: UUID) -> list[PayloadReference]:
        """Return where its records are, of those that were saved when it was produced."""
        times = _times(key, event_id)
        since, until, wanted = min(times) - self._spread, max(times) + self._spread, str(event_id)
        async with aclosing(log.records(since, lambda line: id_of_record(line) in {wanted, ""}, until)) as pages:
            records = [record async for page in pages for record in page]
        return [each.reference for each in records if each.event_id.lower() == wanted and not each.erased]

    async def _removed(self, place: HashPlace, event_id: str) -> list[str]:
        """Delete the hash of one place: nothing leads there, so it needs no tombstone."""
        if place.elsewhere is not None:
            await place.elsewhere.remove(self._scope, [PayloadReference(place.elsewhere.name, event_id, event_id)])
            return []
        redis, name = self._scope.redis, self._scope.stream.key_of(f"{place.purpose}:{event_id}")
        if redis is None:
            return []
        with redis.errors(StorageUnavailable):
            return [name] if await remove_hashes(redis, [name]) else []


def _times(key: EventKey, event_id: UUID) -> list[datetime]:
    with suppress(ArgumentsInvalid, ValueError, OverflowError):  # another program's id
        return [key.time, event_id_time(event_id)]
    return [key.time]
