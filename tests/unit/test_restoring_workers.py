"""A restore while workers run."""

from typing import cast

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.model import HashWrite, StreamName
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.restoring import RestoredEntry
from event_backbone.testing.servers import RedisServer
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Remembering, nothing_is_left, pack
from tests.support.restoring import KEEP, event_id_of, restoring

NAME = StreamName.of(URI, "test")


async def archived(streams: RedisStreams, connection: RedisConnection) -> list[RestoredEntry]:
    """Return the entries of the stream with their payloads, as an archive has them."""
    entries: list[RestoredEntry] = []
    for entry in await streams.stream(NAME).range(None, None, 100):
        purpose = f"payload:{event_id_of(entry.fields[b'metadata'])}"
        parts = cast("list[bytes]", await connection.command("HGETALL", NAME.key_of(purpose)))
        fields = {name.decode(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
        entries.append(RestoredEntry(entry.key, entry.fields[b"metadata"], (HashWrite(purpose, fields),)))
    return entries


async def test_workers_go_on_over_a_restore(
    backbone: Backbone, streams: RedisStreams, connection: RedisConnection, redis_server: RedisServer
) -> None:
    """They handle what is pending after it, what came meanwhile once more, and what comes later; nobody restarts."""
    handled = Remembering()
    async with backbone.subscribe(handled.consumer, uri=URI, group=GROUP):
        await pack(backbone, 0, 1, 2)
        await eventually(lambda: nothing_is_left(backbone))
        entries = await archived(streams, connection)
        redis_server.flush()
        await pack(backbone, 3, 4)
        await eventually(lambda: set(handled.numbers) >= {3, 4})
        await eventually(lambda: nothing_is_left(backbone))
        handled.numbers.clear()
        async with restoring(connection, NAME) as restore:
            await restore.remember([(event_id_of(each.metadata), each.key) for each in entries], KEEP)
            await restore.add(entries)
            await restore.copy_live(entries[-1].key, 1)
            await restore.set_group(GROUP, entries[-1].key, [entries[1].key], [])
            assert handled.numbers == []
            assert await restore.swap(entries[-1].key, entries[0].key.predecessor())
        await pack(backbone, 5)
        await eventually(lambda: set(handled.numbers) >= {1, 3, 4, 5})
        await eventually(lambda: nothing_is_left(backbone))
        assert sorted(handled.numbers) == [1, 3, 4, 5]
        state = (await backbone.groups(URI))[0]
        assert (state.pending, state.unread) == (0, 0)
