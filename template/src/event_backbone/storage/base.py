"""What a payload storage guarantees, whatever keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from event_backbone.errors import StorageError
from event_backbone.model import Payload, PayloadReference, SavedPayload, StreamName

if TYPE_CHECKING:
    from event_backbone.connection import RedisConnection


@dataclass(frozen=True, slots=True)
class StorageScope:
    """Whose payloads a call is about: the stream, and the stream's own Redis (None in memory)."""

    stream: StreamName
    redis: RedisConnection | None = None


OnPayloads = Callable[[Iterable[tuple[int, Payload | StorageError]]], None]
"""Called with what was loaded: positions in a sequence of references or events, each with its payload or error."""


class Storage(Protocol):
    """Keeps payloads. One instance may serve several backbones, streams and tasks at once.

    A payload is saved before its entry is appended, so after a crash a payload may lie there that no entry refers
    to; an entry never refers to a payload that was not saved.
    """

    @property
    def name(self) -> str:
        """The name by which references name this storage: letters, digits and hyphens, the same in every process."""
        ...

    async def save(self, scope: StorageScope, event_id: UUID, payload: Payload) -> SavedPayload:
        """Save a payload, or say what is to be written with the stream entry.

        May be called again with the same arguments, and then changes nothing. Raises StorageUnavailable when the
        storage does not answer (the payload may or may not be saved), PayloadConflict when another payload is saved
        under this event id.
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
        """Replace payloads by tombstones, which load as PayloadErased. May be called twice."""
        ...

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the payload lies, for people: a Redis key, or an S3 object key."""
        ...

    def readable(self) -> Mapping[str, Storage]:
        """Return the storage that reads the references of each storage name, this one's own among them."""
        ...

    async def check(self, scope: StorageScope) -> None:
        """Try what producing and reading need; raise ConfigurationError or StorageUnavailable with one sentence."""
        ...

    async def close(self) -> None:
        """Close connections of its own. May be called twice; a later call opens them again."""
        ...
