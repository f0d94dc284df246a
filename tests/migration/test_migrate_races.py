"""What happens to a stream while its payloads move."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from event_backbone import Backbone, Consumer, Context, Reject
from event_backbone.archive import S3Archive
from event_backbone.connection import RedisConnection
from event_backbone.errors import BackboneError, StreamError
from event_backbone.model import EventKey, StreamName, new_event_id
from event_backbone.storage import RedisHashStorage, S3Storage, StorageScope
from event_backbone.stream.redis.migrating import CopiedEntry, RedisMigrating
from event_backbone.testing.servers import RedisServer
from event_backbone.wire import MetadataMembers, Record
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering

Storing = Callable[..., Backbone]


async def _produced(backbone: Backbone, count: int) -> list[EventKey]:
    producer = backbone.producer(Parcels, uri=URI)
    return [await producer.packed(number) for number in range(count)]


async def _read(backbone: Backbone) -> list[tuple[EventKey, object]]:
    return [(each.key, each.arguments["number"]) async for each in backbone.reader(URI).scan()]


@pytest.mark.parametrize(
    "moment", ["before its copy is beside the stream", "after that", "after that, as a part", "after the end"]
)
@pytest.mark.parametrize(("old", "new"), [("redis-hash", "s3"), ("redis-hash", "inline"), ("s3", "s3-2")])
async def test_an_event_that_is_erased_meanwhile_ends_erased(
    storing: Storing, monkeypatch: pytest.MonkeyPatch, moment: str, old: str, new: str
) -> None:
    """Whenever that is, nobody reads the payload afterwards."""
    add, first = RedisMigrating.add, asyncio.Event()

    async with storing(old) as before:
        key, *_ = await _produced(before, 3)

        async def erasing(migrating: RedisMigrating, copies: Sequence[CopiedEntry], group: str = "") -> None:
            if moment.startswith("before") and not first.is_set():
                await eraser.erase(URI, key)
            await add(migrating, copies, group)
            if moment.startswith("after that") and not first.is_set():
                await eraser.erase(URI, key, part=old if moment.endswith("part") else None)
            first.set()

        monkeypatch.setattr(RedisMigrating, "add", erasing)
        async with storing(new, old) as eraser, storing(new, old) as backbone:
            await backbone.migrate(URI, away_from=old)
            if moment == "after the end":
                await eraser.erase(URI, key)
        async with storing(new) as only_new:
            found = {each.key: each.payload async for each in only_new.reader(URI).scan()}
    assert found.pop(key, "erased") == "erased"
    assert list(found.values()) == ["present", "present"]


async def test_producers_go_on_and_entries_that_were_deleted_stay_away(
    storing: Storing, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes during the run is in the stream once; what people deleted meanwhile does not come back."""
    take_place, calls = RedisMigrating.take_place, list[str]()

    async with storing("redis-hash", "s3") as before:
        producer = before.producer(Parcels, uri=URI)
        keys = await _produced(before, 600)

        async def interfering(migrating: RedisMigrating, group: str = "") -> str:
            if not calls:
                await connection.command("XDEL", f"test:{URI}", keys[7].entry_id)
                await asyncio.gather(*(producer.packed(number) for number in range(600, 1200)))
            calls.append(await take_place(migrating, group))
            return calls[-1]

        monkeypatch.setattr(RedisMigrating, "take_place", interfering)
        async with storing("s3", "redis-hash") as backbone:
            report = await backbone.migrate(URI, away_from="redis-hash")
            assert report.still.nothing
            assert calls == ["more", "left", "done"]
            numbers = sorted(number for _, number in await _read(backbone))  # type: ignore[type-var]
    assert numbers == [number for number in range(1200) if number != 7]


async def test_events_that_still_come_into_the_old_storage_are_moved_by_another_pass(
    storing: Storing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a producer with the old settings sends after the last look is found by the next pass, or the next run."""
    take_place = RedisMigrating.take_place
    async with storing("redis-hash", "s3") as before, storing("s3", "redis-hash") as backbone:
        await _produced(before, 3)

        async def producing(migrating: RedisMigrating, group: str = "") -> str:
            await _produced(before, 1)
            return await take_place(migrating, group)

        monkeypatch.setattr(RedisMigrating, "take_place", producing)
        report = await backbone.migrate(URI, away_from="redis-hash")
        assert (report.moved, report.still.events) == (5, 1)
        monkeypatch.setattr(RedisMigrating, "take_place", take_place)
        report = await backbone.migrate(URI, away_from="redis-hash")
        assert (report.moved, report.still.nothing) == (1, True)


async def test_a_group_is_as_it_was_for_the_server(storing: Storing, connection: RedisConnection) -> None:
    """Position, numbers, consumers and pending entries are the same, also of a group that lags behind."""
    key = f"test:{URI}"
    async with storing("redis-hash") as before:
        keys = await _produced(before, 30)
        await connection.command("XDEL", key, keys[20].entry_id)
        for group, count in (("fast", 25), ("slow", 3)):
            await connection.command("XGROUP", "CREATE", key, group, "0")
            await connection.command("XREADGROUP", "GROUP", group, "one", "COUNT", count, "STREAMS", key, ">")
        await connection.command("XGROUP", "CREATECONSUMER", key, "slow", "idle one")
        await connection.command("XCLAIM", key, "fast", "two", 0, keys[4].entry_id, "RETRYCOUNT", 7, "JUSTID")

        async def state() -> list[object]:
            rows = [await connection.command("XPENDING", key, group, "-", "+", 100) for group in ("fast", "slow")]
            pending = [[(row[0], row[1], row[3]) for row in group] for group in rows]  # type: ignore[attr-defined]
            about = await connection.command("XINFO", "STREAM", key)
            named = dict(zip(about[::2], about[1::2], strict=True))  # type: ignore[index]
            kept = (b"length", b"last-generated-id", b"max-deleted-entry-id", b"entries-added", b"groups")
            return [pending, await connection.command("XINFO", "GROUPS", key), [named[each] for each in kept]]

        expected = await state()
    async with storing("s3", "redis-hash") as backbone:
        await backbone.migrate(URI, away_from="redis-hash")
    assert await state() == expected


async def test_one_migration_at_a_time(storing: Storing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is refused while the first is under way."""
    add = RedisMigrating.add
    async with storing("redis-hash") as before, storing("s3") as backbone, storing("s3") as other:
        await _produced(before, 1)

        async def meanwhile(migrating: RedisMigrating, copies: Sequence[CopiedEntry], group: str = "") -> None:
            with pytest.raises(StreamError, match="Another restore or migration"):
                await other.migrate(URI, away_from="redis-hash")
            await add(migrating, copies, group)

        monkeypatch.setattr(RedisMigrating, "add", meanwhile)
        assert (await backbone.migrate(URI, away_from="redis-hash")).moved == 1


async def test_a_restart_of_redis_ends_a_migration_or_is_waited_for(
    own_redis: RedisServer, s3_environment: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and run again it moves everything."""
    del s3_environment
    take_place, restarted = RedisMigrating.take_place, asyncio.Event()

    async def restarting(migrating: RedisMigrating, group: str = "") -> str:
        if not restarted.is_set():
            restarted.set()
            await asyncio.to_thread(own_redis.restart)
        return await take_place(migrating, group)

    monkeypatch.setattr(RedisMigrating, "take_place", restarting)
    old = RedisHashStorage()
    async with Backbone(own_redis.url, storage=old, environment="test") as before:
        keys = await _produced(before, 300)
    async with Backbone(own_redis.url, storage=S3Storage(), also_read=[old], environment="test") as backbone:

        async def moves() -> bool:
            try:
                return (await backbone.migrate(URI, away_from="redis-hash")).still.nothing
            except BackboneError:
                return False

        await eventually(moves, 45)
        assert await _read(backbone) == list(zip(keys, range(300), strict=True))


@pytest.mark.parametrize("archived", [False, True])
async def test_a_restore_after_a_migration_brings_each_event_once(
    storing: Storing, redis_server: RedisServer, *, archived: bool
) -> None:
    """The records of old events are in young packs: none of them is taken for a lost event."""
    archive = S3Archive() if archived else None
    async with storing("s3", archive=archive) as before:
        await _produced(before, 300)
        if archived:
            await archive_all(before, URI)
    async with storing("s3-2", "s3", archive=archive) as backbone:
        assert (await backbone.migrate(URI, away_from="s3")).moved == 300
        await backbone.producer(Parcels, uri=URI).packed(300)
        assert (await backbone.plan_restore(URI)).lost == 0
        redis_server.flush()
        await backbone.restore(URI)
        assert [number for _, number in await _read(backbone)] == list(range(301))
        assert (await backbone.plan_restore(URI)).lost == 0


async def test_what_was_archived_before_a_migration_is_restored_after_it(
    storing: Storing, redis_server: RedisServer
) -> None:
    """Segments have copies of what was in Redis hashes, so nothing but the archive is needed to read it."""
    archive = S3Archive()
    async with storing("redis-hash", archive=archive) as before:
        keys = await _produced(before, 20)
        await archive_all(before, URI)
    async with storing("s3", archive=archive) as backbone:
        assert (await backbone.migrate(URI, away_from="redis-hash", remove=True)).removed == 20
        await archive_all(backbone, URI)
        redis_server.flush()
        assert await _read(backbone) == list(zip(keys, range(20), strict=True))
        await backbone.restore(URI)
        assert await _read(backbone) == list(zip(keys, range(20), strict=True))
        assert (await backbone.migrate(URI, away_from="redis-hash")).moved == 20


async def test_dead_letters_are_redriven_after_the_old_storage_was_taken_away(
    storing: Storing, connection: RedisConnection
) -> None:
    """They and their events lead to the new storage; the old hashes are gone."""
    remembering = Remembering()
    rejecting = Consumer(Parcels)

    @rejecting.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        del ctx, number
        raise Reject("not yet")

    async with storing("redis-hash") as before:
        await _produced(before, 3)
        async with before.subscribe(rejecting, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
    async with storing("s3") as backbone:
        report = await backbone.migrate(URI, away_from="redis-hash", remove=True)
        assert (report.dead_letters, report.removed, report.still.nothing) == (3, 3, True)
        assert await connection.command("KEYS", "*payload*") == []
        assert (await backbone.dead_letters(URI, GROUP).redrive_all()).events == 3
        async with backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
    assert (sorted(remembering.numbers), remembering.attempts) == ([0, 1, 2], [1, 1, 1])


async def test_a_young_record_of_an_old_event_is_not_taken_for_a_lost_one(storing: Storing) -> None:
    """As a migration writes them: an event so old was archived, or deleted, long before the end of the archive."""
    stream = StreamName.of(URI, "test")
    yesterday = new_event_id().int - (24 * 3600 * 1000 << 80)
    async with storing("s3", archive=S3Archive()) as backbone:
        await _produced(backbone, 1)
        await archive_all(backbone, URI)
        for number, event_id in enumerate((UUID(int=yesterday), new_event_id())):
            members = MetadataMembers(event_id, str(event_id), "packed", 1, 0, None, None, None, {})
            record = Record(members, {"number": b"1"}, str(event_id), 1)
            await backbone.storage.save(StorageScope(stream, backbone.redis), record)
            assert (await backbone.plan_restore(URI)).lost == number
