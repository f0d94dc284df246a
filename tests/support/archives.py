"""A stream with an archive, and archivers that are moved step by step."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.archive.copying import Copying
from event_backbone.archive.group_states import GroupStates
from event_backbone.archive.segment_writer import SegmentWriter
from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey, StreamName
from event_backbone.storage import S3Storage, StorageScope
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.redis.group_snapshots import GroupSnapshots
from tests.support.parcels import URI, Parcels

STREAM = StreamName.of(URI, "test")


async def archive_all(backbone: Backbone, uri: str) -> None:
    """Let an archiver archive what is in the stream."""
    async with backbone.archiver(uri) as archiver:
        await archiver.commit()


@dataclass
class ArchivedStream:
    """Parcels on S3 storage, in a backbone with an archive."""

    backbone: Backbone
    archive: S3Archive
    connection: RedisConnection
    url: str

    async def produce(self, *numbers: int) -> list[EventKey]:
        """Produce an event for each number."""
        producer = self.backbone.producer(Parcels, uri=URI)
        return [await producer.packed(number) for number in numbers]

    async def writer(self) -> SegmentWriter:
        """Return an archiver's writer that has found the end of the archive."""
        scope = StorageScope(STREAM, self.connection)
        notes, copying = ArchiveNotes(self.connection, STREAM), Copying(scope, {"s3": S3Storage()}, {"s3"})
        made = SegmentWriter(self.archive, STREAM, notes, copying)
        await made.locate()
        return made

    async def read_on(self, writer: SegmentWriter) -> None:
        """Let an archiver read what is new."""
        entries, _, _ = await ArchiveNotes(self.connection, STREAM).page(writer.position, None, 500)
        await writer.add(entries)

    async def archive_all(self) -> None:
        """Archive what is in the stream step by step: no state of a group, and nothing that comes meanwhile."""
        writer = await self.writer()
        while (before := writer.position) < await self._last_key():
            await self.read_on(writer)
            assert writer.position > before
        await writer.commit()

    async def save_groups(self) -> None:
        """Save the states of the groups."""
        streams = RedisStreams(self.connection)
        snapshots = GroupSnapshots(self.connection, STREAM)
        states = GroupStates(self.archive, STREAM, snapshots, lambda group: streams.group_admin(STREAM, group))
        await states.save(await states.take())

    async def in_redis(self) -> list[tuple[EventKey, JsonValue]]:
        """Return the keys and numbers of the events in Redis, in order."""
        async with Backbone(self.url, storage=S3Storage(), environment="test") as only_redis:
            return [(each.key, each.arguments["number"]) async for each in only_redis.reader(URI).scan()]

    async def everywhere(self) -> list[tuple[EventKey, JsonValue]]:
        """Return the keys and numbers of the events in archive and stream, in order."""
        return [(each.key, each.arguments["number"]) async for each in self.backbone.reader(URI).scan()]

    async def _last_key(self) -> EventKey:
        return (await ArchiveNotes(self.connection, STREAM).read()).last_key
