"""What was erased is erased in the archive, whenever that happens."""

import asyncio

import pytest
from redis.asyncio import Redis

from event_backbone.errors import EventNotFound, PayloadErased
from event_backbone.storage import RedisHashStorage, SplitStorage
from tests.archive.conftest import Make
from tests.archive.gate import Gate
from tests.archive.segments import archived_events, archived_keys
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3
from tests.support.letters import GROUP, STREAM, URI, consumer_of, send

ERASED = f"{{{STREAM}}}:erased"
SPLIT = SplitStorage(RedisHashStorage(), {"email": RedisHashStorage(name="personal", archive=True)})
STORAGES = {"hash": RedisHashStorage(), "inline": RedisHashStorage(inline_up_to_bytes=1024), "split": SPLIT}


def assert_only_the_first_is_erased(s3: FaultyS3, storage: str = "hash") -> None:
    """Compare with what is in the segments, and in no other object of the archive."""
    events = archived_events(s3.objects)
    missing = {"hash": {"redis-hash": "erased"}, "inline": {"": "erased"}, "split": {"personal": "erased"}}[storage]
    assert [event.get("missing") for event in events] == [missing, *[None] * (len(events) - 1)]
    assert events[0].get("arguments") == ({"number": 0} if storage == "split" else None)
    assert all(event["arguments"] for event in events[1:])


@pytest.mark.parametrize("storage", STORAGES)
async def test_what_is_archived_is_erased_there_at_once(
    archiving: Make, s3: FaultyS3, redis: Redis, storage: str
) -> None:
    """All of it, one part, or a payload that was inline; again changes nothing, also without the stream."""
    async with archiving(STORAGES[storage], segment_bytes=400) as backbone:
        keys = await send(backbone, *range(6))
        async with backbone.archiver(URI) as archiver:
            await archiver.commit()
            assert len(archived_events(s3.objects)) == 6
            part = "personal" if storage == "split" else None
            await backbone.erase(URI, keys[0], part=part)
            assert_only_the_first_is_erased(s3, storage)
            assert await redis.smembers(ERASED) == set()
            erased, objects = await backbone.reader(URI).get(keys[0]), dict(s3.objects)
            assert erased.payload == ("partial" if storage == "split" else "erased")
            await backbone.erase(URI, keys[0], part=part)
            assert s3.objects == objects
            await redis.delete(STREAM)
            await backbone.erase(URI, keys[1])
            assert (await backbone.reader(URI).get(keys[1])).payload == "erased"
            with pytest.raises(EventNotFound, match="has no event"):
                await backbone.erase(URI, keys[5].successor())


@pytest.mark.parametrize("has_archive", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
async def test_what_is_erased_before_it_is_archived_never_gets_there(
    archiving: Make, s3: FaultyS3, redis: Redis, storage: str, has_archive: bool
) -> None:
    """Also by a process that has no archive. An entry that was deleted before is not archived at all."""
    async with archiving(STORAGES[storage]) as backbone, archiving(STORAGES[storage], archived=False) as without:
        await archive_all(backbone, URI)
        keys = await send(backbone, *range(3))
        part = "personal" if storage == "split" else None
        await (backbone if has_archive else without).erase(URI, keys[0], part=part)
        await redis.xdel(STREAM, keys[2].entry_id)
        await archive_all(backbone, URI)
    if storage == "inline":  # whose erased entry was deleted
        assert archived_keys(s3.objects) == [keys[1].entry_id]
    else:
        assert archived_keys(s3.objects) == [key.entry_id for key in keys[:2]]
        assert_only_the_first_is_erased(s3, storage)
    assert await redis.smembers(ERASED) == set()


@pytest.mark.parametrize("has_archive", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
async def test_what_is_erased_while_it_is_committed_is_erased_afterwards(
    archiving: Make, s3: FaultyS3, redis: Redis, storage: str, has_archive: bool
) -> None:
    """The archiver has sent the segment already; when that is written, it looks for what was erased meanwhile."""
    async with (
        archiving(STORAGES[storage]) as backbone,
        archiving(STORAGES[storage], archived=False) as without,
        backbone.archiver(URI) as archiver,
    ):
        await archiver.commit()
        keys = await send(backbone, *range(3))
        s3.before = gate = Gate("PUT")
        committing = asyncio.create_task(archiver.commit())
        await gate.held.wait()
        await (backbone if has_archive else without).erase(
            URI, keys[0], part="personal" if storage == "split" else None
        )
        await redis.xdel(STREAM, keys[2].entry_id)
        gate.opened.set()
        await committing
    assert len(archived_events(s3.objects)) == 3
    assert_only_the_first_is_erased(s3, storage)
    assert await redis.smembers(ERASED) == set()


async def test_what_an_archiver_had_not_erased_when_it_ended_the_next_one_erases(
    archiving: Make, s3: FaultyS3, redis: Redis
) -> None:
    """It ends when its segment is written, and before it knows that."""
    async with archiving() as backbone, archiving() as other:
        keys = await send(backbone, *range(3))
        s3.after = gate = Gate("PUT")
        ending = asyncio.create_task(archive_all(other, URI))
        await gate.held.wait()
        async with archiving(archived=False) as without:
            await without.erase(URI, keys[0])
        while not ending.done():  # also while it stops
            ending.cancel()
            await asyncio.sleep(0)
        await redis.delete(f"{{{STREAM}}}:archiver")
        assert "arguments" in archived_events(s3.objects)[0]
        async with backbone.archiver(URI):
            await eventually(lambda: "arguments" not in archived_events(s3.objects)[0])
        assert_only_the_first_is_erased(s3)
        assert await redis.smembers(ERASED) == set()


async def test_two_who_erase_in_one_segment_lose_nothing(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """Each reads it again when the other has changed it; the payloads come again for nobody."""
    async with archiving() as backbone:
        keys = await send(backbone, *range(20))
        await archive_all(backbone, URI)
        await asyncio.gather(*[backbone.erase(URI, key) for key in keys[:10]])
        assert [event.get("arguments") is None for event in archived_events(s3.objects)] == [True] * 10 + [False] * 10
        assert await redis.smembers(ERASED) == set()
        numbers: list[int] = []
        async with backbone.subscribe(consumer_of(numbers), uri=URI, group=GROUP):
            await eventually(lambda: len(numbers) == 10)
        assert [letter async for letter in backbone.dead_letters(URI, GROUP).list()] == []
        with pytest.raises(PayloadErased):
            _ = (await backbone.reader(URI).get(keys[0])).arguments
