"""Archive and stream are one ordered history: each event once, in order, whatever moves from one to the other."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import EventNotFound, StorageUnavailable
from event_backbone.model import EventKey, PayloadReference
from event_backbone.storage import RedisHashStorage, StorageScope
from event_backbone.storage.base import OnPayloads
from event_backbone.stream.values import Start
from tests.archive.conftest import Make
from tests.archive.segments import segments_of
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Refusal, no_fault
from tests.support.letters import STREAM, URI, Letters, consumer_of, numbers_of, send, trim
from tests.support.metrics import CountedMetrics
from tests.support.parcels import Parcels

INLINE = RedisHashStorage(inline_up_to_bytes=1024)
SEGMENT_BYTES = 2000
TOTAL = 60


async def _remove(redis: Redis, keys: Sequence[EventKey], state: str) -> None:
    """Remove nothing, some or all of the entries; some earlier ones may be held back."""
    if state in {"trimmed", "held back"}:
        await trim(redis, keys[40], keep=keys[8:20:3] if state == "held back" else ())
    elif state in {"all trimmed", "all held back"}:
        await trim(redis, keys[-1].successor(), keep=[keys[0], *keys[30:40:2]] if state == "all held back" else ())
    elif state == "emptied":
        await redis.flushdb()


@pytest.mark.parametrize("state", ["whole", "trimmed", "held back", "all held back", "all trimmed", "emptied"])
async def test_reads_go_through_archive_and_stream(archiving: Make, s3: FaultyS3, redis: Redis, state: str) -> None:
    """By key and by time, the last ones, of some events: as if the stream had everything; also from an empty Redis.

    Single entries that are held back below those that were removed change nothing.
    """
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys = [*await send(backbone, *range(TOTAL // 2))]
        await asyncio.sleep(0.002)
        middle = datetime.now(UTC)
        await asyncio.sleep(0.002)
        keys += await send(backbone, *range(TOTAL // 2, TOTAL))
        await archive_all(backbone, URI)
        assert len(segments_of(s3.objects)) > 4
        await _remove(redis, keys, state)
        found = [event async for event in backbone.reader(URI).scan()]
        assert [event.key for event in found] == keys
        cold = {"whole": 0, "trimmed": 40, "held back": 40}.get(state, TOTAL)
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


class Overtaken(RedisHashStorage):
    """Redis hashes that retention removes, with their entries, just before they are read the next time."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis
        self.before = EventKey(0)

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Remove what comes before ``before``, then load."""
        await trim(self._redis, self.before)
        await super().load(scope, references, on_payloads)


@pytest.mark.parametrize("archived", [True, False])
async def test_what_is_removed_between_entry_and_payload(archiving: Make, redis: Redis, archived: bool) -> None:
    """It is read from the archive; without one it has left, as if it had been removed a moment before.

    An event whose payload alone is gone is still there, and says so.
    """
    storage = Overtaken(redis)
    async with archiving(storage, archived=archived) as backbone, archiving() as other:
        keys = await send(backbone, *range(6))
        if archived:
            await archive_all(other, URI)
        reader, storage.before = backbone.reader(URI), keys[2]
        assert await numbers_of(backbone) == ([0, 1, 2, 3, 4, 5] if archived else [2, 3, 4, 5])
        storage.before = keys[4]
        if archived:
            assert (await reader.get(keys[3])).arguments["number"] == 3
            return
        with pytest.raises(EventNotFound):
            await reader.get(keys[3])
        await redis.delete(*await redis.keys(f"{{{STREAM}}}:payload:*"))
        assert [event.payload async for event in reader.scan()] == ["gone", "gone"]
        assert (await reader.get(keys[5])).payload == "gone"


@pytest.mark.parametrize("archived", [True, False])
async def test_what_begins_before_the_first_event_says_so(
    archiving: Make, redis: Redis, caplog: pytest.LogCaptureFixture, archived: bool
) -> None:
    """A scan without an archive, and a new group: once, as a warning if a key or a time was asked for."""
    caplog.set_level(logging.INFO, "event_backbone")
    async with archiving() as archiver, archiving(archived=archived) as backbone:
        keys = await send(backbone, *range(6))
        await archive_all(archiver, URI)
        await trim(redis, keys[3])
        caplog.clear()
        starts: tuple[EventKey | datetime | None, ...] = (None, keys[0], datetime(2020, 1, 1, tzinfo=UTC), keys[3])
        for start in starts:
            async for _ in backbone.reader(URI).scan(start=start):
                pass
        left = f"Events before {keys[3]} have left stream {STREAM}; the scan begins with those that are still there."
        levels = [each.levelname for each in caplog.records if each.getMessage() == left]
        assert levels == ([] if archived else ["INFO", "WARNING", "WARNING"])
        caplog.clear()
        groups: tuple[tuple[str, Start], ...] = (("a", keys[2]), ("b", "beginning"), ("c", keys[3]), ("d", "now"))
        for group, start_of_group in groups:
            async with backbone.subscribe(consumer_of([]), uri=URI, group=group, start=start_of_group):
                pass
        found = [(each.levelname, each.getMessage()) for each in caplog.records if "have left" in each.getMessage()]
        assert [(level, "begins with those that are still there" in text) for level, text in found] == [
            ("WARNING", True),
            ("INFO", True),
        ]
        assert [text.endswith("a reader finds all of them in the archive.") for _, text in found] == [archived] * 2


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
