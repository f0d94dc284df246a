"""Dead letters whose events have left the stream: redriven and shown from the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from event_backbone.archive.cold_reads import ColdReads
from event_backbone.archive.fallback import collect_with_archive
from event_backbone.errors import StorageError
from event_backbone.model import EventKey, Payload, PayloadReference
from event_backbone.storage import Storage, StorageScope
from event_backbone.stream.values import DeadLetter, Redrive

if TYPE_CHECKING:
    from event_backbone.stream.redis.admin import RedisGroupAdmin


class ArchivedDeadLetters:
    """Finds the events of dead letters of one group in the archive."""

    def __init__(
        self, scope: StorageScope, storages: Mapping[str, Storage], cold: ColdReads, admin: RedisGroupAdmin
    ) -> None:
        """Act by ``admin`` on the group, with events from ``cold`` and payloads that ``storages`` still have."""
        self._scope = scope
        self._storages = storages
        self._cold = cold
        self._admin = admin

    async def redrive(self, letters: Sequence[DeadLetter]) -> Sequence[Redrive]:
        """Redrive these, as ``GroupAdmin.redrive`` does; "not-found" is what the archive has not either.

        Raises StorageUnavailable, ConfigurationError or ArchiveUnreadable as ``ColdReads.metadata`` does.
        """
        metadata = await self._cold.metadata([each.entry.key for each in letters])
        return await self._admin.redrive_archived(letters, metadata)

    async def load(self, key: EventKey, references: tuple[PayloadReference, ...]) -> Payload | StorageError:
        """Return an event's payload from where it refers to, or from the archive; no references: only from there.

        Raises StorageUnavailable.
        """
        (content,) = await collect_with_archive(self._scope, self._storages, self._cold, [(key, references)])
        return content
