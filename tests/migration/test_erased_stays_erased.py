"""What is erased after payloads have moved stays so: the old storage has it no more, and no restore brings it back."""

from collections.abc import Callable
from uuid import UUID

import pytest

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey, StreamName, new_event_id
from event_backbone.storage import StorageScope
from event_backbone.testing.servers import RedisServer, S3Server
from event_backbone.wire import MetadataMembers, Record
from tests.migration.conftest import STORAGES
from tests.support.archives import archive_all
from tests.support.parcels import URI, Parcels
from tests.support.s3 import BUCKET, objects_of, s3_client

Storing = Callable[..., Backbone]

_SECRET = "a@b.c"


async def _sent(backbone: Backbone, count: int) -> list[EventKey]:
    producer = backbone.producer(Parcels, uri=URI)
    return [await producer.sent(number, f"{number}-{_SECRET}") for number in range(count)]


async def _read(backbone: Backbone) -> list[tuple[str, object]]:
    events = [each async for each in backbone.reader(URI).scan()]
    return [(each.payload, each.arguments["number"] if each.payload == "present" else None) for each in events]


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("old_is_given", [False, True])
@pytest.mark.parametrize("old_is_given_later", [False, True])
async def test_no_restore_brings_back_what_was_erased_after_a_migration(
    storing: Storing, redis_server: RedisServer, *, archived: bool, old_is_given: bool, old_is_given_later: bool
) -> None:
    """Whether or not the old bucket was known to whoever erased, or is known to whoever restores."""
    archive = S3Archive() if archived else None
    async with storing("s3", archive=archive) as before:
        keys = await _sent(before, 3)
        if archived:
            await archive_all(before, URI)
    async with storing("s3-2", "s3", archive=archive) as backbone:
        await backbone.migrate(URI, away_from="s3")
    async with storing("s3-2", *(["s3"] if old_is_given else []), archive=archive) as eraser:
        await eraser.erase(URI, keys[1])
    redis_server.flush()
    async with storing("s3-2", *(["s3"] if old_is_given_later else []), archive=archive) as backbone:
        await backbone.restore(URI)
        assert await _read(backbone) == [("present", 0), ("erased", None), ("present", 2)]
    async with storing("s3-2", "s3", archive=archive) as both:
        assert await _read(both) == [("present", 0), ("erased", None), ("present", 2)]


async def test_a_copy_in_a_young_pack_says_that_an_old_record_was_erased(storing: Storing) -> None:
    """Also if producers wrote to the new storage before the copy, so that the old record is read long before."""
    stream = StreamName.of(URI, "test")
    hour = 3600 * 1000
    old, young = UUID(int=new_event_id().int - (2 * hour << 80)), new_event_id()
    at = {old: (old.int >> 80) * 1000, young: (young.int >> 80) * 1000}
    async with storing("s3-2", "s3") as backbone:
        scope = StorageScope(stream, backbone.redis)
        for name, event_id in (("s3", old), ("s3-2", young), ("s3-2", old)):
            storage = STORAGES[name]()
            members = MetadataMembers(event_id, str(event_id), "packed", 1, at[event_id], None, None, None, {})
            saved = await storage.save(scope, Record(members, {"number": b"1"}, str(event_id), 1))
            if (name, event_id) == ("s3-2", old):
                await storage.erase(scope, saved.references)
            await storage.close()
        assert (await backbone.restore(URI)).appended == 2
        assert [payload for payload, _ in await _read(backbone)] == ["erased", "present"]


@pytest.mark.parametrize(("old", "new"), [("redis-hash", "s3"), ("s3", "s3-2"), ("s3", "redis-hash"), ("s3", "inline")])
async def test_erasing_reaches_the_old_storage_as_long_as_it_is_given(
    storing: Storing, connection: RedisConnection, s3_server: S3Server, old: str, new: str
) -> None:
    """The old hash is deleted, the old record erased; and both are said."""
    async with storing(old) as before:
        keys = await _sent(before, 3)
        where = [before.location(await before.reader(URI).get(key))[0] for key in keys]
    async with storing(new, old) as backbone:
        await backbone.migrate(URI, away_from=old)
        assert where[1] in await backbone.erase(URI, keys[1])
        if old == "redis-hash":
            assert await connection.command("EXISTS", *where) == 2
        found = b"".join(objects_of(s3_server, "packs/", "events").values())
        assert f"1-{_SECRET}".encode() not in found
        if new == "inline":
            assert (await backbone.restore(URI)).appended <= 1
            assert [number for payload, number in await _read(backbone) if payload == "present"] == [0, 2]


async def test_what_is_only_archived_is_erased_there_when_the_old_storage_was_taken_away(
    storing: Storing, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive says that the payload was in it; the log says that it was not reached."""
    archive = S3Archive()
    async with storing("s3", archive=archive) as before:
        keys = await _sent(before, 3)
        await archive_all(before, URI)
    async with storing("s3-2", "s3", archive=archive) as backbone:
        await backbone.migrate(URI, away_from="s3")
        await backbone.trim(URI, before=EventKey(2**63))
    async with storing("s3-2", archive=archive) as only_new:
        await only_new.erase(URI, keys[1])
        assert await _read(only_new) == [("present", 0), ("erased", None), ("present", 2)]
    assert f"Storage 's3' may still have the payload of event {keys[1]}" in caplog.text


async def test_an_old_bucket_that_refuses_does_not_keep_an_event_from_being_erased(
    storing: Storing, s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    """It is erased where it is now, and the log says where it may still be."""
    async with storing("s3") as before:
        keys = await _sent(before, 3)
    async with storing("s3-2", "s3") as backbone:
        await backbone.migrate(URI, away_from="s3")
    client = s3_client(s3_server)
    for key in objects_of(s3_server):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)
    async with storing("s3-2", "s3") as backbone:
        assert len(await backbone.erase(URI, keys[1])) == 1
        assert await _read(backbone) == [("present", 0), ("erased", None), ("present", 2)]
    s3_server.create_bucket(BUCKET)
    assert f"Storage 's3' may still have a copy of event {keys[1]}" in caplog.text
