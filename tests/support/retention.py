"""Retention carried out by hand, one round at a time, and what is then in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from event_backbone import Backbone, EventKey, Retention
from event_backbone.connection import RedisConnection
from event_backbone.model import StreamName
from event_backbone.retention.opening import RetainedStream, open_retention
from event_backbone.retention.retention_loop import RetentionLoop
from event_backbone.retention.trimming import Removed
from event_backbone.storage import StorageScope
from event_backbone.storage.by_name import storages_by_name
from event_backbone.stream.redis import RedisStreams
from event_backbone.wire.keys import WAITING_CONSUMER
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels

MOMENT = timedelta(milliseconds=1)
AT_ONCE = Retention(max_age=MOMENT)
LONG_AGO = timedelta(days=8)


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

    def loop(self, retention: Retention = AT_ONCE, *, watch_groups_for: timedelta = timedelta(0)) -> RetentionLoop:
        """Return what carries out retention."""
        storages = storages_by_name((self.backbone.storage,), beside_stream=True)
        name = StreamName.of(URI, self.backbone.environment)
        stream = RetainedStream(
            self.connection,
            StorageScope(name, self.connection),
            RedisStreams(self.connection),
            storages,
            archived=self.backbone.archive is not None,
            deduplicate_for=timedelta(minutes=10),
        )
        return open_retention(retention, stream, watch_groups_for=watch_groups_for)

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
