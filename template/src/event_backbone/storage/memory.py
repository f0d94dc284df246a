"""Payloads in this process's memory, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from event_backbone.contract import Contract
from event_backbone.errors import PayloadErased, PayloadGone, StorageError
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload
from event_backbone.spans import storage_call
from event_backbone.storage.base import HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.names import storage_name
from event_backbone.wire import Record
from event_backbone.wire.keys import PAYLOAD_KEY


class MemoryStorage:
    """Keeps payloads as long as this object lives, for this process alone."""

    def __init__(self, name: str = "memory") -> None:
        self._name = storage_name(name)
        self._payloads: dict[str, Payload | None] = {}  # None is a tombstone

    @property
    def name(self) -> str:
        """The name by which references name this storage."""
        return self._name

    @property
    def archive(self) -> bool | None:
        """Return None."""

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None: nothing is written with the entry."""

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return None: memory is lost together with what refers to it."""

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return None: there is no Redis."""

    def hash_places(self) -> Sequence[HashPlace]:
        """Return nothing: there is no Redis."""
        return ()

    def check_contract(self, contract: type[Contract]) -> None:
        """Do nothing: every contract fits."""

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Keep a copy, unless a payload or a tombstone is there."""
        reference = PayloadReference(self._name, record.metadata.id_text, record.payload_id)
        with storage_call(self._name, "save"):
            self._payloads.setdefault(self.location(scope, reference), dict(record.payload))
        return SavedPayload((reference,))

    async def keep(self, scope: StorageScope, copies: Mapping[str, Payload]) -> None:
        """Keep copies, except where there is a payload or a tombstone."""
        with storage_call(self._name, "save"):
            for event_id, payload in copies.items():
                reference = PayloadReference(self._name, event_id, event_id)
                self._payloads.setdefault(self.location(scope, reference), dict(payload))

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Call back once, with a copy, PayloadErased or PayloadGone for each reference."""
        on_payloads(enumerate(self._load(self.location(scope, reference)) for reference in references))

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Replace payloads by tombstones."""
        for reference in references:
            self._payloads[self.location(scope, reference)] = None

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Do nothing: no retention is carried out in memory."""

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return the key in the dictionary, which looks like a Redis key."""
        return scope.stream.key_of(f"{PAYLOAD_KEY}:{reference.key}")

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under its name."""
        return {self._name: self}

    async def check(self, scope: StorageScope) -> None:
        """Do nothing: memory is always there."""

    async def close(self) -> None:
        """Do nothing: the payloads stay."""

    def _load(self, location: str) -> Payload | StorageError:
        try:
            payload = self._payloads[location]
        except KeyError:
            return PayloadGone(f"There is no payload {location} in memory.")
        return PayloadErased(f"The payload {location} was erased.") if payload is None else dict(payload)
