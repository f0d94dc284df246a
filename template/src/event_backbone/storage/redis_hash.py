"""Payloads in Redis: one hash per event, one field per argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from event_backbone.connection import RedisConnection
from event_backbone.contract import Contract
from event_backbone.errors import (
    ConfigurationError,
    PayloadErased,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload, payload_size_bytes
from event_backbone.settings import RedisSettings
from event_backbone.spans import storage_call
from event_backbone.storage.base import HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.hash_scripts import (
    HashReply,
    erase_hashes,
    hashes_a_call,
    load_hashes,
    remove_hashes,
    store_hashes,
    typical_size_bytes,
)
from event_backbone.storage.names import storage_name
from event_backbone.storage.per_loop import PerLoop
from event_backbone.wire import Record
from event_backbone.wire.fields import EMPTY_FIELD, ERASED_FIELD
from event_backbone.wire.keys import PAYLOAD_KEY

_DEFAULT_NAME = "redis-hash"
_EXPECTED_BYTES = 64 * 1024
_MOST_INLINE_BYTES = 64 * 1024  # entries are read by number, some hundred at once, before anybody knows their size
_ERASED = ERASED_FIELD.encode()


class RedisHashStorage:
    """Keeps a payload in the hash ``{<stream key>}:payload:<event id>``.

    Under another name than the default it is ``{<stream key>}:payload:<name>:<event id>``.

    On the stream's own Redis the hash is written in the same atomic step as the stream entry: neither is ever there
    without the other, and since the stream knows its recent event ids, no second payload replaces the first. On another
    server (``redis``) the hash is saved before the entry, at the price of one round trip per event.

    With ``inline_up_to_bytes`` a small payload becomes part of its stream entry instead: no second key, and no second
    read. It is erased together with its entry.
    """

    def __init__(
        self,
        expires_after: timedelta | None = None,
        *,
        redis: str | None = None,
        name: str = _DEFAULT_NAME,
        inline_up_to_bytes: int = 0,
        archive: bool | None = None,
    ) -> None:
        """Prepare the storage, without connecting.

        Args:
            expires_after: how long a payload lives, from its save on; None keeps it forever.
            redis: another server's address, written as REDIS_EVENT_SOURCE_ENDPOINT; None is the stream's own.
            name: what references call this storage; two on one server need different names.
            inline_up_to_bytes: payloads of at most so many bytes, as encoded, are in the stream entry, those of events
                without arguments included; at most 64 KiB, and 0 is none. Not with ``expires_after`` or ``redis``, nor
                in a CachedStorage or SplitStorage.
            archive: whether an archive copies the payloads; None is no if they expire, or are a part of a split other
                than its default, else yes.

        Raises:
            ConfigurationError: a setting is wrong.
        """
        if expires_after is not None and expires_after <= timedelta(0):
            raise ConfigurationError("expires_after of RedisHashStorage must be positive; None means never.")
        self._inline_up_to_bytes = _checked_inline(inline_up_to_bytes, expires_after, redis)
        self._name = storage_name(name)
        self._expires_after = expires_after
        self._archive = False if archive is None and expires_after is not None else archive
        self._purpose = PAYLOAD_KEY if name == _DEFAULT_NAME else f"{PAYLOAD_KEY}:{name}"
        self._typical_bytes = _EXPECTED_BYTES
        self._own = None if redis is None else _own_connections(RedisSettings.parse(redis))

    @property
    def name(self) -> str:
        """The name by which references name this storage."""
        return self._name

    @property
    def expires_after(self) -> timedelta | None:
        """How long a payload lives; None means forever."""
        return self._expires_after

    @property
    def inline_up_to_bytes(self) -> int:
        """Payloads of at most so many bytes are in the stream entry; 0 means none."""
        return self._inline_up_to_bytes

    @property
    def archive(self) -> bool | None:
        """As it was given; False unless it was given, if payloads expire."""
        return self._archive

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return how a payload becomes a hash on the stream's own Redis; None if payloads go to another server."""
        if self._own is not None or scope.redis is None:
            return None
        return self._write_unless_inline if self._inline_up_to_bytes else self._write

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return None: the hashes are lost together with the entries, or cannot be found without them."""

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return the hash; None if payloads go to another server."""
        if self._own is not None or scope.redis is None:
            return None
        return self._write(reference.key, {ERASED_FIELD: b"1"} if payload is None else payload)

    def hash_places(self) -> Sequence[HashPlace]:
        """Return the one place."""
        elsewhere = None if self._own is None else self
        return [HashPlace(self._name, self._purpose, elsewhere, expires=self._expires_after is not None)]

    def check_contract(self, contract: type[Contract]) -> None:
        """Do nothing: every contract fits."""

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Return the hash, to be written with the entry, or on another server write it now unless it exists.

        Nothing that is saved this way is inline: only ``write_plan`` can put a payload into the entry.
        """
        connection = self._connection(scope)
        reference = PayloadReference(self._name, record.metadata.id_text, record.payload_id)
        write = self._write(reference.key, record.payload)
        if self._own is None:
            return SavedPayload((reference,), (write,))
        with storage_call(self._name, "save"), connection.errors(StorageUnavailable):
            await store_hashes(connection, scope.stream, (write,))
        return SavedPayload((reference,))

    async def keep(self, scope: StorageScope, copies: Mapping[str, Payload]) -> None:
        """Write the hashes that do not exist."""
        connection = self._connection(scope)
        with storage_call(self._name, "save"), connection.errors(StorageUnavailable):
            writes = [self._write(event_id, payload) for event_id, payload in copies.items()]
            await store_hashes(connection, scope.stream, writes)

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Fetch the payloads in as few calls as their size allows, and call back after each."""
        prefix = scope.stream.key_of(f"{self._purpose}:")
        keys = [prefix + reference.key for reference in references]
        done = 0
        try:
            connection = self._connection(scope)
            with connection.errors(StorageUnavailable):
                while done < len(keys):
                    some = keys[done : done + hashes_a_call(self._typical_bytes)]
                    found = await load_hashes(connection, some)
                    self._typical_bytes = typical_size_bytes(found)
                    on_payloads(enumerate(map(_payload, some, found), done))
                    done += len(some)
        except (StorageUnavailable, ConfigurationError) as error:
            unavailable = error if isinstance(error, StorageUnavailable) else StorageUnavailable(str(error))
            on_payloads((position, unavailable) for position in range(done, len(keys)))

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Replace the hashes by tombstones that expire when the payloads would have."""
        connection = self._connection(scope)
        with connection.errors(StorageUnavailable):
            keys = [self.location(scope, reference) for reference in references]
            await erase_hashes(connection, keys, self._expires_after)

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Delete the hashes, if they are on another server than the stream."""
        if self._own is None:
            return
        connection = self._connection(scope)
        with connection.errors(StorageUnavailable):
            await remove_hashes(connection, [self.location(scope, reference) for reference in references])

    async def names(self, scope: StorageScope, cursor: bytes) -> tuple[bytes, list[str]]:
        """Return the next cursor, and what the keys of some hashes of this stream end with.

        The cursor is ``b"0"`` at first, and when all keys of the server were looked at. Raises StorageUnavailable.
        """
        connection, prefix = self._connection(scope), scope.stream.key_of(f"{self._purpose}:")
        with connection.errors(StorageUnavailable):
            next_cursor, keys = await connection.scan(cursor, f"{prefix}*")
        return next_cursor, [key.decode(errors="replace")[len(prefix) :] for key in keys]

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return the hash's key."""
        return scope.stream.key_of(f"{self._purpose}:{reference.key}")

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under its name."""
        return {self._name: self}

    async def check(self, scope: StorageScope) -> None:
        """Ping the server."""
        connection = self._connection(scope)
        with connection.errors(StorageUnavailable):
            await connection.command("PING")

    async def close(self) -> None:
        """Close the running loop's connections to another server; those of the stream stay open."""
        connection = None if self._own is None else self._own.take()
        if connection is not None:
            await connection.close()

    def _write(self, event_id: str, payload: Payload) -> HashWrite:
        return HashWrite(f"{self._purpose}:{event_id}", payload or {EMPTY_FIELD: b"1"}, self._expires_after)

    def _write_unless_inline(self, event_id: str, payload: Payload) -> HashWrite | None:
        inline = payload_size_bytes(payload) <= self._inline_up_to_bytes
        return None if inline else self._write(event_id, payload)

    def _connection(self, scope: StorageScope) -> RedisConnection:
        if self._own is not None:
            return self._own.get()
        if scope.redis is None:
            raise ConfigurationError("RedisHashStorage without redis= needs a stream on Redis; MemoryStorage does not.")
        return scope.redis


def refuse_inline(storage: Storage, sentence: str) -> None:
    """Raise ConfigurationError if the storage puts payloads into stream entries; ``sentence`` says why not here."""
    if isinstance(storage, RedisHashStorage) and storage.inline_up_to_bytes:
        raise ConfigurationError(f"inline_up_to_bytes of RedisHashStorage must be 0 here: {sentence}")


def _checked_inline(inline_up_to_bytes: int, expires_after: timedelta | None, redis: str | None) -> int:
    if not 0 <= inline_up_to_bytes <= _MOST_INLINE_BYTES:
        raise ConfigurationError(
            f"inline_up_to_bytes of RedisHashStorage must be from 0 to {_MOST_INLINE_BYTES}, not {inline_up_to_bytes}."
        )
    if inline_up_to_bytes and expires_after is not None:
        raise ConfigurationError(
            "RedisHashStorage takes either inline_up_to_bytes or expires_after: a stream entry does not expire."
        )
    if inline_up_to_bytes and redis is not None:
        raise ConfigurationError(
            "RedisHashStorage takes either inline_up_to_bytes or redis: a stream entry is on the stream's own server."
        )
    return inline_up_to_bytes


def _own_connections(settings: RedisSettings) -> PerLoop[RedisConnection]:
    return PerLoop(lambda: RedisConnection(settings))


def _payload(key: str, parts: HashReply) -> Payload | StorageError:
    if isinstance(parts, Exception):
        return PayloadGone(f"The Redis key {key} does not hold a payload.")
    if not parts:
        return PayloadGone(f"There is no Redis hash {key}: it has expired or was deleted.")
    if parts[0] == _ERASED:
        return PayloadErased(f"The payload in the Redis hash {key} was erased.")
    payload: dict[str, bytes] = {}
    for position in range(0, len(parts), 2):  # faster than a comprehension over pairs
        payload[parts[position].decode()] = parts[position + 1]
    if len(payload) == 1:
        payload.pop(EMPTY_FIELD, None)
    return payload
