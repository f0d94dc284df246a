"""The parts of a split payload: what keeps one, and what stands for one that this program was not given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from event_backbone.contract import Contract
from event_backbone.errors import ConfigurationError, PayloadForbidden, PayloadNotGiven, StorageError
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload
from event_backbone.storage.base import HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.loading import storage_missing
from event_backbone.storage.names import storage_name
from event_backbone.wire import Record


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part of a split payload is, and whether this program may do without it.

    ``Part(storage, optional=True)``: if the storage forbids reading, the part is missing, and so are its arguments.
    ``Part("personal", optional=True)``: this program was not given the storage of this name, on purpose; the arguments
    are missing. ``Part("personal")``: it was not given the storage, but needs it, so each event that has this part
    waits for a program that has it. No program saves events to a storage that it knows only by name.

    An outage of a storage is always waited for.
    """

    storage: Storage | str
    optional: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what cannot be a part."""
        if isinstance(self.storage, str):
            storage_name(self.storage)
        elif self.optional and set(self.storage.readable()) != {self.storage.name}:
            raise ConfigurationError("An optional part must be a single storage, not a split.")


def storage_of(part: Part) -> Storage:
    """Return what saves and loads a part."""
    if isinstance(part.storage, str):
        return StorageNotGiven(part.storage, optional=part.optional)
    return OptionalStorage(part.storage) if part.optional else part.storage


class StorageNotGiven:
    """Stands for a storage that this program was not given. It takes nothing, and has nothing."""

    def __init__(self, name: str, *, optional: bool) -> None:
        """Stand for the storage of this name; ``optional`` says that it is missing on purpose."""
        self._name = name
        self._optional = optional

    @property
    def name(self) -> str:
        """The name by which references name the storage."""
        return self._name

    @property
    def archive(self) -> bool:
        """Return False: nothing can be copied."""
        return False

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None."""

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return None: nothing is here."""

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return None: nothing is here."""

    def hash_places(self) -> Sequence[HashPlace]:
        """Return nothing: its hashes are not known here."""
        return ()

    def check_contract(self, contract: type[Contract]) -> None:
        """Do nothing: programs that only read may have any contract."""

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:  # noqa: ARG002 - it is always refused
        """Raise ConfigurationError."""
        raise ConfigurationError(
            f"This program was not given storage {self._name!r}, so it cannot send event {record.metadata.event!r}; "
            "pass the storage to SplitStorage instead of its name."
        )

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:  # noqa: ARG002 - nothing is there, wherever
        """Call back with PayloadNotGiven for each reference."""
        missing = PayloadNotGiven(f"This program was not given storage {self._name!r}, on purpose.")
        on_payloads((position, missing) for position in range(len(references)))

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:  # noqa: ARG002 - it is always refused
        """Raise StorageMissing."""
        raise storage_missing(self._name)

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Do nothing: its hashes are not known here."""

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:  # noqa: ARG002 - unknown here
        """Return that it is not known here."""
        return f"storage {self._name!r}, which this program was not given"

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under the name if the part is optional; else nothing, so that its events wait."""
        return {self._name: self} if self._optional else {}

    async def check(self, scope: StorageScope) -> None:
        """Do nothing: there is nothing to check."""

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class OptionalStorage:
    """A storage that this program may perhaps not read: what is forbidden counts as not given."""

    def __init__(self, storage: Storage) -> None:
        """Save to ``storage`` and load from it."""
        self._storage = storage

    @property
    def name(self) -> str:
        """The storage's name."""
        return self._storage.name

    @property
    def wrapped(self) -> Storage:
        """The storage itself."""
        return self._storage

    @property
    def archive(self) -> bool | None:
        """Return what the storage says."""
        return self._storage.archive

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return the storage's plan."""
        return self._storage.write_plan(scope)

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return the storage's."""
        return self._storage.record_log(scope)

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return the storage's."""
        return self._storage.hash_beside_stream(scope, reference, payload)

    def hash_places(self) -> Sequence[HashPlace]:
        """Return the storage's."""
        return self._storage.hash_places()

    def check_contract(self, contract: type[Contract]) -> None:
        """Ask the storage."""
        self._storage.check_contract(contract)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save to the storage."""
        return await self._storage.save(scope, record)

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load from the storage, and call back with PayloadNotGiven for what it forbids."""

        def on_loaded(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
            on_payloads([(position, _not_given(result)) for position, result in results])

        await self._storage.load(scope, references, on_loaded)

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Erase in the storage."""
        await self._storage.erase(scope, references)

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Remove from the storage."""
        await self._storage.remove(scope, references)

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the storage has it."""
        return self._storage.location(scope, reference)

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under the storage's name."""
        return {self.name: self}

    async def check(self, scope: StorageScope) -> None:
        """Check that the storage answers; what it refuses is no reason not to work."""
        with suppress(ConfigurationError):
            await self._storage.check(scope)

    async def close(self) -> None:
        """Close the storage."""
        await self._storage.close()


def _not_given(result: Payload | StorageError) -> Payload | StorageError:
    if isinstance(result, PayloadForbidden):
        return PayloadNotGiven(f"This program may do without the payload: {result}")
    return result
