"""A storage behind a cache: faster to read, and no less durable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from event_backbone import telemetry
from event_backbone.contract import Contract
from event_backbone.errors import (
    ConfigurationError,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.model import HashWrite, Payload, PayloadReference, SavedPayload
from event_backbone.spans import storage_call
from event_backbone.storage.base import Cache, HashPlace, OnPayloads, RecordLog, Storage, StorageScope, WritePlan
from event_backbone.storage.circuit_breaker import CircuitBreaker
from event_backbone.storage.loading import collect_references
from event_backbone.storage.redis_hash import refuse_inline
from event_backbone.wire import Record
from event_backbone.wire.fields import COPY_FIELD

_Loaded = Payload | StorageError


class CachedStorage:
    """Saves to ``origin`` and to ``cache``; reads from the cache, and from the origin what is not there.

    What was missing in the cache is put there. References name the origin, which alone is trusted: the cache may lose
    everything at any time, and is bypassed while it does not answer. A cache of RedisHashStorage on
    the stream's own Redis is written in the same step as the stream entry.
    """

    def __init__(
        self,
        origin: Storage,
        cache: Cache,
        *,
        cache_timeout: timedelta = timedelta(seconds=1),
        retry_cache_after: timedelta = timedelta(seconds=5),
    ) -> None:
        """Put ``cache`` in front of ``origin``.

        Args:
            origin: where payloads are kept; not a SplitStorage, whose parts take a cache each.
            cache: where copies are kept; give its RedisHashStorage an ``expires_after``, or it keeps everything.
            cache_timeout: how long to wait for the cache.
            retry_cache_after: how long to bypass a cache that did not answer.

        Raises:
            ConfigurationError: the two do not fit together.
        """
        if set(origin.readable()) != {origin.name}:
            raise ConfigurationError("Put the cache around each part: SplitStorage(default=CachedStorage(...)).")
        if set(cache.readable()) != {cache.name} or cache.name == origin.name:
            raise ConfigurationError(f"The cache must be a single storage with another name than {origin.name!r}.")
        for storage in (origin, cache):
            refuse_inline(storage, "a payload in a stream entry cannot be cached, and no cache can be in one.")
        self._origin = origin
        self._cache = cache
        self._cache_circuit = CircuitBreaker(cache_timeout, retry_cache_after)

    @property
    def name(self) -> str:
        """The origin's name: references lead to the durable copy."""
        return self._origin.name

    @property
    def origin(self) -> Storage:
        """Where payloads are kept."""
        return self._origin

    @property
    def cache(self) -> Cache:
        """Where copies are kept."""
        return self._cache

    @property
    def archive(self) -> bool | None:
        """Return what the origin says."""
        return self._origin.archive

    def write_plan(self, scope: StorageScope) -> WritePlan | None:
        """Return None: the origin's answer is waited for before anything is cached."""

    def record_log(self, scope: StorageScope) -> RecordLog | None:
        """Return the origin's."""
        return self._origin.record_log(scope)

    def hash_beside_stream(
        self, scope: StorageScope, reference: PayloadReference, payload: Payload | None
    ) -> HashWrite | None:
        """Return the origin's: what was in the cache comes back when it is read."""
        return self._origin.hash_beside_stream(scope, reference, payload)

    def hash_places(self) -> Sequence[HashPlace]:
        """Return the origin's, and where the copies are."""
        copies = (each._replace(storage=None) for each in self._cache.hash_places())
        return [*self._origin.hash_places(), *copies]

    def check_contract(self, contract: type[Contract]) -> None:
        """Ask both."""
        self._origin.check_contract(contract)
        self._cache.check_contract(contract)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save to the origin, then to the cache, whose failure is ignored. Raises what the origin raises.

        In this order, because a cache must never hold what the origin refused.
        """
        saved = await self._origin.save(scope, record)
        (reference,) = saved.references
        copy = _copy_of(reference, record.payload)
        plan = self._cache.write_plan(scope)
        write = None if plan is None else plan(reference.event_id, copy)
        if write is not None:
            return SavedPayload(saved.references, (*saved.writes, write))
        await self._cache_circuit.call(lambda: self._cache.keep(scope, {reference.event_id: copy}))
        return saved

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load what is in the cache, tombstones included, and then the rest from the origin."""
        hits = await self._load_cached(scope, references)
        if hits:
            on_payloads(hits.items())
        missing = [position for position in range(len(references)) if position not in hits]
        if not missing:
            return
        loaded: dict[PayloadReference, _Loaded] = {}

        def on_missing_loaded(results: Iterable[tuple[int, _Loaded]]) -> None:
            found = [(missing[position], result) for position, result in results]
            loaded.update((references[position], result) for position, result in found)
            on_payloads(found)

        await self._origin.load(scope, [references[position] for position in missing], on_missing_loaded)
        await self._cache_circuit.call(lambda: self.put_into_cache(scope, loaded))

    async def erase(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Erase in both. Raises even when only the cache does not answer: erase again, or wait until it has expired.

        What the origin no longer has is erased from the cache, and raises PayloadGone.
        """
        try:
            await self._origin.erase(scope, references)
        except PayloadGone:
            await self._cache.erase(scope, self._copies(references))
            raise
        await self._cache.erase(scope, self._copies(references))

    async def remove(self, scope: StorageScope, references: Sequence[PayloadReference]) -> None:
        """Remove from both."""
        await self._origin.remove(scope, references)
        await self._cache.remove(scope, self._copies(references))

    def location(self, scope: StorageScope, reference: PayloadReference) -> str:
        """Return where the durable copy is."""
        return self._origin.location(scope, reference)

    def readable(self) -> Mapping[str, Storage]:
        """Return itself under the origin's name."""
        return {self.name: self}

    async def check(self, scope: StorageScope) -> None:
        """Check the origin, and the settings of the cache, which may be down."""
        await self._origin.check(scope)
        try:
            await self._cache.check(scope)
        except StorageUnavailable:
            self._cache_circuit.open()

    async def close(self) -> None:
        """Close both."""
        await self._origin.close()
        await self._cache.close()

    async def put_into_cache(self, scope: StorageScope, loaded: Mapping[PayloadReference, _Loaded]) -> None:
        """Copy payloads of the origin, but never over what the cache has: that may be a tombstone by now."""
        copies = {
            reference.event_id: _copy_of(reference, result)
            for reference, result in loaded.items()
            if not isinstance(result, StorageError)
        }
        if copies:
            await self._cache.keep(scope, copies)

    async def _load_cached(self, scope: StorageScope, references: Sequence[PayloadReference]) -> dict[int, _Loaded]:
        found = await self._cache_circuit.call(lambda: self._copied(scope, references))
        if found is None:
            self._count("down", len(references))
            return {}
        hits = {position: result for position, result in enumerate(found) if not isinstance(result, PayloadGone)}
        self._count("hit", len(hits))
        self._count("miss", len(references) - len(hits))
        return hits

    async def _copied(self, scope: StorageScope, references: Sequence[PayloadReference]) -> Sequence[_Loaded]:
        with storage_call(self._cache.name, "load", len(references)):
            found = await collect_references(scope, self._cache, self._copies(references))
            for result in found:
                if isinstance(result, StorageUnavailable):
                    raise result
        return [_original(reference, result) for reference, result in zip(references, found, strict=True)]

    def _copies(self, references: Sequence[PayloadReference]) -> list[PayloadReference]:
        return [PayloadReference(self._cache.name, each.event_id, each.event_id) for each in references]

    def _count(self, result: str, amount: int) -> None:
        if amount:
            telemetry.cache_lookups.add(amount, {"storage": self.name, "result": result})


def _copy_of(reference: PayloadReference, payload: Payload) -> Payload:
    """Return what the cache keeps: the arguments, and of which of the origin's payloads of this event they are.

    A produce call that fails may leave a copy of arguments that the next call with its event id replaces.
    """
    if reference.key == reference.event_id:
        return payload
    return {**payload, COPY_FIELD: reference.key.encode()}


def _original(reference: PayloadReference, found: _Loaded) -> _Loaded:
    """Return the arguments in a copy; a copy of another payload counts as none."""
    if isinstance(found, StorageError) or reference.key == reference.event_id:
        return found
    payload = dict(found)
    if payload.pop(COPY_FIELD, b"") != reference.key.encode():
        return PayloadGone("The cache has a copy of another payload.")
    return payload
