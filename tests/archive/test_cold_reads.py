"""Archive and stream are one ordered history: each event once, in order, whatever moves from one to the other."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EventNotFound, StorageUnavailable
from event_backbone.storage import RedisHashStorage
from tests.archive.conftest import Make
from tests.archive.segments import segments_of
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Refusal, no_fault
from tests.support.letters import STREAM, URI, Letters, numbers_of, send, trim
from tests.support.metrics import CountedMetrics
from tests.support.parcels import Parcels

INLINE = RedisHashStorage(inline_up_to_bytes=1024)
SEGMENT_BYTES = 2000
TOTAL = 60


@pytest.mark.parametrize("state", ["whole", "trimmed", "all trimmed", "emptied"])
async def test_reads_go_through_archive_and_stream(archiving: Make, s3: FaultyS3, redis: Redis, state: str) -> None:
    """By key and by time, the last ones, of some events: as if the stream had everything; also from an empty Redis."""
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys = [*await send(backbone, *range(TOTAL // 2))]
        await asyncio.sleep(0.002)
        middle = datetime.now(UTC)
        await asyncio.sleep(0.002)
        keys += await send(backbone, *range(TOTAL // 2, TOTAL))
        await archive_all(backbone, URI)
        assert len(segments_of(s3.objects)) > 4
        if state == "trimmed":
            await trim(redis, keys[40])
        elif state == "all trimmed":
            await trim(redis, keys[-1].successor())
        elif state == "emptied":
            await redis.flushdb()
        found = [event async for event in backbone.reader(URI).scan()]
        assert [event.key for event in found] == keys
        cold = {"whole": 0, "trimmed": 40, "all trimmed": TOTAL, "emptied": TOTAL}[state]
        assert [event.segment is not None for event in found] == [True] * cold + [False] * (TOTAL - cold)
        cases: tuple[tuple[dict[str, object], range], ...] = (
            ({"start": keys[7], "end": keys[45]}, range(7, 45)),
            ({"start": keys[50]}, range(50, TOTAL)),
            ({"end": keys[3]}, range(3)),
            ({"start": middle}, range(TOTAL // 2, TOTAL)),
            ({"end": middle}, range(TOTAL // 2)),
            ({"last": 25}, range(TOTAL - 25, TOTAL)),
            ({"last": 50, "end": keys[30]}, range(30)),
            ({"last": 3, "end": keys[30]}, range(27, 30)),
            ({"last": TOTAL + 5, "events": [Letters.sent]}, range(TOTAL)),
            ({"events": [Parcels.packed]}, range(0)),
            ({"start": keys[-1].successor()}, range(0)),
        )
        for bounds, wanted in cases:
            assert await numbers_of(backbone, **bounds) == [*wanted], bounds
        for number in (0, 20, 39, 40, TOTAL - 1):
            assert (await backbone.reader(URI).get(keys[number])).arguments["number"] == number
        for nothing in (keys[0].predecessor(), keys[-1].successor()):
            with pytest.raises(EventNotFound):
                await backbone.reader(URI).get(nothing)


async def test_an_event_is_read_with_at_most_three_requests(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """Wherever its segment is; one that is in the stream needs none, and neither does one that is nowhere."""
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys = await send(backbone, *range(TOTAL))
        await archive_all(backbone, URI)
        await trim(redis, keys[-1].successor())
        (newest,) = await send(backbone, TOTAL)
        for key, most in [(key, 3) for key in (keys[0], keys[30], keys[-2], keys[-1])] + [(newest, 0)]:
            async with archiving(segment_bytes=SEGMENT_BYTES) as fresh:
                await backbone.reader(URI).get(key)
                before = len(s3.paths)
                assert (await fresh.reader(URI).get(key)).key == key
                assert len(s3.paths) - before <= most, s3.paths[before:]
        before = len(s3.paths)
        with pytest.raises(EventNotFound):
            await backbone.reader(URI).get(newest.successor())
        assert len(s3.paths) == before


@pytest.mark.parametrize("follow", [False, True])
async def test_a_scan_that_is_overtaken_goes_back_to_the_archive(archiving: Make, redis: Redis, follow: bool) -> None:
    """While it reads, events are archived and removed ahead of it, again and again; some were in its hands already."""
    async with archiving(INLINE, segment_bytes=SEGMENT_BYTES) as backbone:
        keys, numbers = [*await send(backbone, *range(300))], list[int]()
        scan = backbone.reader(URI).scan(follow=follow)
        async for event in scan:
            numbers.append(int(str(event.arguments["number"])))
            if len(numbers) in {1, 50, 120, 350, 420}:
                keys += await send(backbone, *range(len(keys), len(keys) + 150))
                await archive_all(backbone, URI)
                await trim(redis, keys[len(keys) - 100])
            if follow and len(numbers) == 1050:
                break
        await scan.aclose()
    assert numbers == [*range(1050)]


async def test_following_begins_in_the_archive_and_waits_in_the_stream(archiving: Make, redis: Redis) -> None:
    """Nothing is missing when Redis is emptied meanwhile, and nothing comes twice."""
    async with archiving(INLINE, segment_bytes=SEGMENT_BYTES) as backbone:
        await send(backbone, *range(10))
        await archive_all(backbone, URI)
        await trim(redis, (await send(backbone, 10))[0])
        numbers: list[int] = []
        scan = backbone.reader(URI).scan(follow=True)
        async for event in scan:
            numbers.append(int(str(event.arguments["number"])))
            if len(numbers) == 11:
                await redis.flushdb()
                await send(backbone, 11)
            if len(numbers) == 12:
                break
        await scan.aclose()
    assert numbers == [*range(12)]


async def test_a_scan_says_that_s3_is_out_and_a_following_one_waits(
    archiving: Make, s3: FaultyS3, redis: Redis, counted: CountedMetrics
) -> None:
    """Both go on where they were."""
    async with archiving(INLINE, segment_bytes=200) as backbone:
        keys = await send(backbone, *range(6))
        await archive_all(backbone, URI)
        await trim(redis, keys[4])
        s3.choose = lambda _method, _path: Refusal(503, "SlowDown")
        with pytest.raises(StorageUnavailable):
            await numbers_of(backbone)
        s3.choose = no_fault
        scan = backbone.reader(URI).scan(follow=True)
        numbers = await _next_numbers(scan, 1)
        s3.choose = lambda _method, _path: Refusal(503, "SlowDown")
        following = asyncio.create_task(_next_numbers(scan, 5))
        await eventually(lambda: counted.count("event_backbone.outages", uri=URI, side="reader") > 0)
        s3.choose = no_fault
        numbers += await following
        await scan.aclose()
    assert numbers == [*range(6)]


async def test_without_an_archive_nothing_changes(archiving: Make, s3: FaultyS3, redis: Redis) -> None:
    """A reader sees what the stream has, and asks S3 for nothing."""
    async with archiving(archived=False) as backbone, archiving() as archived:
        keys = await send(backbone, *range(6))
        await archive_all(archived, URI)
        await trim(redis, keys[4])
        before = len(s3.paths)
        assert await numbers_of(backbone) == [4, 5]
        assert await numbers_of(backbone, last=5) == [4, 5]
        with pytest.raises(EventNotFound):
            await backbone.reader(URI).get(keys[0])
        assert len(s3.paths) == before


async def test_a_payload_that_was_not_copied_is_read_from_its_storage(archiving: Make, redis: Redis) -> None:
    """Of a storage that is not archived; once the payload is gone there, the event says so."""
    storage = RedisHashStorage(archive=False)
    async with archiving(storage) as backbone:
        keys = await send(backbone, 1, 2)
        await archive_all(backbone, URI)
        await redis.delete(STREAM)
        await redis.hset(f"{{{STREAM}}}:archive", "complete-from", keys[1].successor().entry_id)
        reference = (await backbone.reader(URI).get(keys[0])).references[0].key
        await redis.delete(f"{{{STREAM}}}:payload:{reference}")
        events = [event async for event in backbone.reader(URI).scan()]
        assert [event.payload for event in events] == ["gone", "present"]
        assert events[1].arguments["number"] == 2


async def _next_numbers(scan: AsyncGenerator[StoredEvent, None], count: int) -> list[int]:
    return [int(str((await anext(scan)).arguments["number"])) for _ in range(count)]
