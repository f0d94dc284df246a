"""Replaying what has left the stream, through outages, and in processes that are killed."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE

import pytest
from redis.asyncio import Redis

from event_backbone import Consumer, Context, EventKey, StorageMissing
from event_backbone.storage import RedisHashStorage, SplitStorage
from tests.archive.conftest import Make
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Refusal
from tests.support.letters import URI, Letters, consumer_of, send, trim
from tests.support.worker_process import PATH

SEGMENT_BYTES = 2000
TOTAL = 60


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_replay_goes_through_archive_and_stream(archiving: Make, redis: Redis, *, emptied: bool) -> None:
    """Trimmed, or lost by Redis: once each, in order, up to the newest event there ever was."""
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys = await send(backbone, *range(TOTAL))
        await archive_all(backbone, URI)
        if emptied:
            await redis.flushdb()
        else:
            await trim(redis, keys[40], keep=keys[8:20:3])
        numbers = list[int]()
        report = await backbone.replay(consumer_of(numbers), URI, concurrency=1)
        assert (numbers, report.next) == ([*range(TOTAL)], keys[-1].successor())
        numbers.clear()
        await backbone.replay(consumer_of(numbers), URI, concurrency=1, start=keys[30], end=keys[50])
        assert numbers == [*range(30, 50)]
        expected = await backbone.replay(consumer_of(numbers), URI, dry_run=True)
        assert expected.handled == {"sent": TOTAL}


async def test_payloads_that_no_handler_needs_are_not_loaded(archiving: Make, redis: Redis) -> None:
    """So they cost no request, and their storage need not be given: from the stream and from the archive."""
    storage = SplitStorage(RedisHashStorage(), {"sent.email": RedisHashStorage(name="personal")})
    async with archiving(storage) as backbone:
        keys = await send(backbone, *range(3))
        await archive_all(backbone, URI)
    async with archiving() as backbone:
        for before in (keys[0], keys[-1].successor()):
            await trim(redis, before)
            report = await backbone.replay(Consumer(Letters), URI)
            assert report.skipped == {"no-handler": 3}
            with pytest.raises(StorageMissing):
                await backbone.replay(consumer_of([]), URI)


async def test_outages_are_waited_for(
    archiving: Make, s3: FaultyS3, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """Of S3 in the middle of a range: nothing is left out, and nothing comes twice."""
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys, numbers, consumer = await send(backbone, *range(TOTAL)), list[int](), Consumer(Letters)
        await archive_all(backbone, URI)
        await trim(redis, keys[-1].successor())

        @consumer.on(Letters.sent)
        async def sent(ctx: Context, number: int, email: str | None = None) -> None:
            if number == 0:
                s3.reads = Refusal(503, "SlowDown")
            numbers.append(number)

        replaying = asyncio.create_task(backbone.replay(consumer, URI, concurrency=1))
        await eventually(lambda: "Cannot read stream" in caplog.text)
        s3.reads = None
        report = await replaying
        assert (numbers, report.handled) == ([*range(TOTAL)], {"sent": TOTAL})


REPLAY = """
import asyncio, random, sys
from datetime import timedelta
from event_backbone import Backbone, Consumer, Context, EventKey, Retry
from event_backbone.archive import S3Archive
from tests.support.letters import URI, Letters

consumer = Consumer(Letters)

@consumer.on(Letters.sent)
async def sent(ctx: Context, number: int, email: str | None = None) -> None:
    print("began", number, flush=True)
    await asyncio.sleep(random.random() / 100)
    if random.random() < 0.1 and ctx.attempt < 3:
        raise Retry(after=timedelta(milliseconds=1))
    print("done", number, flush=True)

async def main():
    url, start, end, concurrency = sys.argv[1:]
    async with Backbone(url, archive=S3Archive(), environment="test") as backbone:
        report = await backbone.replay(
            consumer, URI, start=EventKey.parse(start), end=EventKey.parse(end), concurrency=int(concurrency),
            on_progress=lambda report: print("next", report.next, flush=True),
        )
    print("end", report.next, flush=True)

asyncio.run(main())
"""


async def _replay_and_kill(
    url: str, start: EventKey, end: EventKey, concurrency: int, lines: int | None
) -> list[tuple[str, str]]:
    """Replay in a process that is killed after so many lines of output, or runs to its end; return its output."""
    arguments = (url, str(start), str(end), str(concurrency))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", REPLAY, *arguments), stdout=PIPE, env={**os.environ, "PYTHONPATH": PATH}
    )
    assert process.stdout is not None
    printed = list[tuple[str, str]]()
    async for line in process.stdout:
        if line.endswith(b"\n"):  # the kill may cut one
            what, _, value = line.decode().strip().partition(" ")
            printed.append((what, value))
        if len(printed) == lines:
            process.kill()
    await process.wait()
    return printed


@pytest.mark.parametrize("concurrency", [1, 7])
async def test_a_replay_that_is_killed_and_goes_on_leaves_nothing_out(
    archiving: Make, redis: Redis, redis_url: str, concurrency: int
) -> None:
    """From the last key that it knew: every event of the range at least once, none beside it, in order with one."""
    async with archiving(segment_bytes=SEGMENT_BYTES) as backbone:
        keys = await send(backbone, *range(400))
        await archive_all(backbone, URI)
        await trim(redis, keys[200])
    chance = random.Random(concurrency)
    start, end, done, began = keys[20], keys[380], set[int](), set[int]()
    printed = list[tuple[str, str]]()
    for lines in [*(chance.randint(1, 250) for _ in range(3)), None]:
        printed = await _replay_and_kill(redis_url, start, end, concurrency, lines)
        numbers = [int(value) for what, value in printed if what == "done"]
        assert concurrency > 1 or numbers == list(range(keys.index(start), keys.index(start) + len(numbers)))
        done |= set(numbers)
        began |= {int(value) for what, value in printed if what == "began"}
        for what, value in printed:
            if what == "next":
                start = max(start, EventKey.parse(value))
        assert done >= {number for number, key in enumerate(keys) if keys[20] <= key < start}
    assert (done, began) == (set(range(20, 380)), set(range(20, 380)))
    assert printed[-1] == ("end", str(end))
