"""Retention carried out by hand, one round at a time, and what is then in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import cast

from event_backbone import Backbone, EventKey, Retention
from event_backbone.connection import RedisConnection
from event_backbone.model import StreamName
from event_backbone.retention.opening import RetainedStream, open_round
from event_backbone.retention.retention_loop import Lock
from event_backbone.retention.trimming import Removed
from event_backbone.storage import StorageScope
from event_backbone.storage.by_name import storages_by_name
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.retaining import RedisRetaining
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.wire.keys import RETENTION_KEY, WAITING_CONSUMER
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels

MOMENT = timedelta(milliseconds=1)
AT_ONCE = Retention(max_age=MOMENT)
LONG_AGO = timedelta(days=8)


class Rounds:
    """Carries out round after round, as one process does."""

    def __init__(self, stream: RetainedStream, retention: Retention, watch_groups_for: timedelta) -> None:
        name, token = stream.scope.stream, token_hex(8)
        retaining = RedisRetaining(stream.redis, name, token, stream.places, stream.elsewhere)
        self._lock = Lock(WorkLock(stream.redis, name, RETENTION_KEY, token))
        self._round = open_round(retention, stream, retaining, self._lock, watch_groups_for=watch_groups_for)

    async def round(self) -> Removed:
        """Take the lock, carry out one round, and give up the lock."""
        await self._lock.hold()
        try:
            return await self._round.run()
        finally:
            await self._lock.let_go()


@dataclass
class Retained:
    """Parcels in a backbone whose retention is carried out by hand."""

    backbone: Backbone
    connection: RedisConnection

    async def produce(self, *numbers: int) -> list[EventKey]:
        """Produce an event for each number; when it returns, all of them are older than ``MOMENT``."""
        producer = self.backbone.producer(Parcels, uri=URI)
        keys = [await producer.packed(number) for number in numbers]
        await eventually(self.all_is_old)
        return keys

    async def all_is_old(self) -> bool:
        """Return whether all events are older than ``MOMENT``."""
        keys = await self.left()
        return not keys or await self.clock() > keys[-1].milliseconds + 2

    async def carry_out(self, retention: Retention = AT_ONCE) -> Removed:
        """Carry out one round; groups are forgotten without being watched first."""
        return await self.loop(retention).round()

    def loop(self, retention: Retention = AT_ONCE, *, watch_groups_for: timedelta = timedelta(0)) -> Rounds:
        """Return what carries out retention."""
        return Rounds(self.stream, retention, watch_groups_for)

    @property
    def stream(self) -> RetainedStream:
        """What retention is carried out on."""
        return RetainedStream(
            self.connection,
            StorageScope(StreamName.of(URI, self.backbone.environment), self.connection),
            RedisStreams(self.connection),
            storages_by_name((self.backbone.storage,), beside_stream=True),
            archived=self.backbone.archive is not None,
            deduplicate_for=timedelta(minutes=10),
        )

    @property
    def name(self) -> StreamName:
        """The stream."""
        return StreamName.of(URI, self.backbone.environment)

    async def clock(self) -> int:
        """Return the server's milliseconds."""
        seconds, micros = cast("list[bytes]", await self.connection.command("TIME"))
        return int(seconds) * 1000 + int(micros) // 1000

    async def left(self) -> list[EventKey]:
        """Return the keys that are in the stream."""
        reply = await self.connection.command("XRANGE", self.name.key, "-", "+")
        return [EventKey.parse(entry_id.decode()) for entry_id, _ in cast("list[tuple[bytes, object]]", reply)]

    async def payloads(self) -> int:
        """Return how many payload hashes there are."""
        keys = await self.connection.command("KEYS", self.name.key_of("payload:*"))
        return len(cast("list[bytes]", keys))

    async def set_group(self, *keys: EventKey, group: str = GROUP, pending: Sequence[EventKey] = ()) -> None:
        """Create a group that has read up to the last of ``keys``, and has not finished ``pending``."""
        position = keys[-1].entry_id if keys else "0"
        await self.connection.command("XGROUP CREATE", self.name.key, group, position, "MKSTREAM")
        for key in pending:
            await self.connection.command(
                "XCLAIM", self.name.key, group, WAITING_CONSUMER, 0, key.entry_id, "FORCE", "JUSTID"
            )

    async def fall_silent(self, group: str = GROUP, since: timedelta = LONG_AGO) -> None:
        """Make the last look of a group that long ago."""
        looked = await self.clock() - since // MOMENT
        await self.connection.command("HSET", self.group_key(group), "looked", looked)

    def group_key(self, group: str = GROUP) -> str:
        """Return the key of what a group remembers."""
        return self.name.key_of(f"group:{group}")
