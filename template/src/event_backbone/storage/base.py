"""What a payload storage guarantees, whatever keeps it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from event_backbone.contract import Contract
from event_backbone.errors import StorageError
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload, StreamName
from event_backbone.wire import LoggedRecord, Record

if TYPE_CHECKING:
    from event_backbone.connection import RedisConnection


@dataclass(frozen=True, slots=True)
class StorageScope:
    """Whose payloads a call is about: the stream, and the Redis server that has it (None in memory).

    ``written`` says that payloads are wanted as they were written: hardly anybody asks for a single argument. ``fresh``
    says that what other processes have just erased has to be seen: nothing comes from a copy in memory.
    """

    stream: StreamName
    redis: RedisConnection | None = None
    written: bool = False
    fresh: bool = False


class HashPlace(NamedTuple):
    """Where on a Redis a storage keeps payloads as hashes.

    Attributes:
        storage: the name by which references lead there; None if they are copies, by event id.
        purpose: how the purpose of the keys begins, before a colon and the reference's key or the event id.
        elsewhere: what has them, if that is on another Redis than the stream; None if they are beside the stream.
        expires: whether the hashes expire by themselves.
    """

    storage: str | None
    purpose: str
    elsewhere: ListedHashes | None
    expires: bool


OnPayloads = Callable[[Iterable[tuple[int, Payload | StorageError]]], None]
"""Called with what was loaded: positions in a sequence of references or events, each with its payload or error."""


WritePlan = Callable[[str, Payload], HashWrite | None]
"""Returns, of an event id and its payload, the hash to write with the entry; the event id is the reference's key.

None says that the payload is to be in the entry itself, to which then no reference leads.
"""


IsWanted = Callable[[bytes], bool]
"""Returns whether somebody wants the record in a line."""


class RecordLog(Protocol):
    """The records that a storage has of one stream, which it finds without Redis. One ``records`` at a time."""

    @property
    def damaged_lines(self) -> int:
        """How many lines were skipped, since ``records`` was called, because they are not records."""
        ...

    def records(
        self, since: datetime | None = None, is_wanted: IsWanted | None = None, until: datetime | None = None
    ) -> AsyncGenerator[Sequence[LoggedRecord], None]:
        """Yield the records that were saved from ``since`` to ``until``, None is no limit, page by page.

        The order is that in which they were saved, by the clocks of those who saved them; so are the limits, and one of
        the same millisecond counts. A record that was saved twice is yielded twice, with another reference. Those of
        other streams are left out. Lines that are not ``is_wanted`` are passed over unread. What is damaged is skipped,
        counted and logged.

        Raises:
            ConfigurationError: listing or reading is not allowed, or the storage's settings are wrong.
            StorageUnavailable: the storage does not answer. Begin again at the time of the last record.
        """
        ...


class Storage(Protocol):
    """Keeps payloads. One instance may serve several backbones, streams and tasks at once.

    A payload is saved before its entry is appended, or in the same atomic step (``write_plan``). So after a crash there
    may be a payload that no entry refers to; an entry never refers to a payload that was not saved.
    """

    @property
    def name(self) -> str:
        """The name by which references name this storage: letters, digits and hyphens, the same in every process."""
        ...

    @property
    def archive(self) -> bool | None:
        """Whether an archive copies the payloads that are here: True always, False never, None by their place.

        By their place all are copied, except those of a part of a split that is not its default.
        """
        ...

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return how payloads are written in the same atomic step as their entries.

        None says that a payload must be saved before its entry is appended, by ``save``.
        """
        ...

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return how the storage finds its own records of a stream, when Redis has lost the entries.

        None says that its payloads cannot be found without their entries.
        """
        ...

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return the hash on the stream's own Redis that keeps a payload under this reference, to write it again.

        Of a payload that was erased, which is None, it is the tombstone. None says that the storage does not keep
        payloads there, so that the loss of that Redis did not cost it anything.
        """
        ...

    def hash_places(self) -> Sequence[HashPlace]:
        """Return where on a Redis it keeps hashes that retention has to remove together with their events."""
        ...

    def check_contract(self, contract: type[Contract]) -> None:
        """Raise ConfigurationError if the storage's settings do not fit a contract that is about to be used."""
        ...

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save a payload, or say what is to be written with the stream entry.

        May be called again with the same record: whether the references are then the same, or lead to a second copy, is
        up to the storage. What was saved before under the record's payload id, be it another payload or a tombstone,
        is never overwritten. Raises StorageUnavailable when the storage does not answer: the payload may or may not be
        saved. A storage that keeps payloads itself measures how long it took (``payload_duration``).
        """
        ...

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Call back with the payload, or the error, of each reference as soon as it is there, in any order.

        ``on_payloads`` is called with positions in ``references``, one or many at a time: with each exactly once before
        this returns, and never afterwards. The errors are PayloadGone, PayloadForbidden, PayloadErased and
        StorageUnavailable; they are never raised, so that one bad payload neither spoils nor delays the others.
        """
        ...

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Replace payloads by tombstones, which load as PayloadErased. May be called twice.

        Where no tombstone can take the place of what is not there, PayloadGone is raised once the others are erased.
        """
        ...

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Delete what it keeps in hashes on another Redis than the stream's, as the events have left the stream.

        Nothing remains: the payloads load as PayloadGone. Payloads elsewhere stay as they are. May be called twice.
        Raises StorageUnavailable when that Redis does not answer.
        """
        ...

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the payload is, for people: a Redis key, or the line of a pack in S3."""
        ...

    def readable(self) -> Mapping[str, Storage]:
        """Return the storage that reads the references of each storage name, this one's included."""
        ...

    async def check(self, scope: StorageScope) -> None:
        """Try what producing and reading need; raise ConfigurationError or StorageUnavailable if it does not work."""
        ...

    async def close(self) -> None:
        """Close the storage's own connections. May be called twice; a later call opens them again."""
        ...


class ListedHashes(Storage, Protocol):
    """A storage that can say which hashes it keeps."""

    async def names(self, scope: StorageScope, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and what the keys of some hashes of this stream end with.

        The cursor is ``b"0"`` at first, and when all keys of the server were looked at. Raises StorageUnavailable.
        """
        ...


class Cache(Storage, Protocol):
    """A storage that can also keep copies of what another one has, by the id of their event."""

    async def keep(self, scope: StorageScope, copies: Mapping[str, Payload]) -> None:
        """Keep copies under these ids; what is there already, be it a tombstone, stays. Raises as ``save`` does."""
        ...
