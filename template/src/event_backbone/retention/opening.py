"""Opens what works on the retention of one stream, wired together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from secrets import token_hex
from typing import NamedTuple

from event_backbone.connection import RedisConnection
from event_backbone.retention.forgetting import Forgetting
from event_backbone.retention.options import Retention
from event_backbone.retention.payload_bytes import PayloadBytes
from event_backbone.retention.retention_loop import Lock, RetentionLoop
from event_backbone.retention.round import Round
from event_backbone.retention.stream_metrics import StreamMetrics
from event_backbone.retention.sweep import Hashes, HashesBesideStream, HashesElsewhere, Sweep
from event_backbone.retention.trimming import Trimming
from event_backbone.storage import Storage, StorageScope
from event_backbone.storage.base import HashPlace
from event_backbone.stream.base import Streams
from event_backbone.stream.redis.retaining import Place, RedisRetaining
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.wire.keys import RETENTION_KEY

_WATCH_GROUPS_FOR = timedelta(minutes=1)


class RetainedStream(NamedTuple):
    """What retention is carried out on: a stream on this Redis, with payloads in these storages.

    Attributes:
        redis: the connection to the stream's Redis.
        scope: the stream.
        streams: opens it, and its groups.
        storages: where payloads may be, by their names.
        archived: whether the stream has an archive.
        deduplicate_for: how far an event's id and its append time may be apart.
    """

    redis: RedisConnection
    scope: StorageScope
    streams: Streams
    storages: Mapping[str, Storage]
    archived: bool
    deduplicate_for: timedelta

    @property
    def places(self) -> list[Place]:
        """Where hashes are beside the stream."""
        found = {each for _, each in self._hash_places if each.elsewhere is None}
        return sorted(
            (each.purpose, each.storage or "", each.storage is not None and not each.expires) for each in found
        )

    @property
    def elsewhere(self) -> list[str]:
        """The names of the storages that have hashes on another Redis."""
        return sorted({name for name, each in self._hash_places if each.elsewhere is not None})

    def hashes(self, retaining: RedisRetaining) -> list[Hashes]:
        """Return where there may be hashes that no entry refers to."""
        lasting = (each.elsewhere for _, each in self._hash_places if not each.expires)
        found = {each.name: each for each in lasting if each is not None}
        elsewhere = [HashesElsewhere(retaining, self.scope, each) for each in found.values()]
        return [HashesBesideStream(retaining), *elsewhere]

    def payload_bytes(self, retaining: RedisRetaining, hold: Callable[[], Awaitable[None]]) -> PayloadBytes | None:
        """Return what measures payloads beside the stream; None if there are none that count."""
        return PayloadBytes(retaining, hold) if any(counts for _, _, counts in self.places) else None

    @property
    def _hash_places(self) -> list[tuple[str, HashPlace]]:
        """All places, each with the name by which references lead there."""
        return [(name, each) for name, storage in self.storages.items() for each in storage.hash_places()]


def open_retention(retention: Retention | None, stream: RetainedStream) -> RetentionLoop:
    """Return what carries out retention, if there is one, and reports the stream's metrics."""
    name, token = stream.scope.stream, token_hex(8)
    retaining = RedisRetaining(stream.redis, name, token, stream.places, stream.elsewhere)
    lock = Lock(WorkLock(stream.redis, name, RETENTION_KEY, token))
    metrics = StreamMetrics(name, retaining, None if retention is None else retention.max_age)
    work = None if retention is None else open_round(retention, stream, retaining, lock)
    return RetentionLoop(name, lock, metrics, work)


def open_round(
    retention: Retention,
    stream: RetainedStream,
    retaining: RedisRetaining,
    lock: Lock,
    *,
    watch_groups_for: timedelta = _WATCH_GROUPS_FOR,
) -> Round:
    """Return what a round does, for whoever holds ``lock``.

    ``watch_groups_for`` is how long a group is watched before it is forgotten.
    """
    name = stream.scope.stream
    return Round(
        retention,
        retaining,
        trimming=Trimming(stream.scope, retaining, stream.storages, archived=stream.archived, hold=lock.hold),
        forgetting=Forgetting(retaining, name, retention.forget_groups_after, watch_for=watch_groups_for),
        payload_bytes=None if retention.max_bytes is None else stream.payload_bytes(retaining, lock.hold),
        sweep=Sweep(stream.streams.stream(name), stream.hashes(retaining), stream.deduplicate_for, lock.hold),
        admin=lambda group: stream.streams.group_admin(name, group),
    )
