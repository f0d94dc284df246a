"""Any number of archivers make one history: no fork, no gap, no overlap, whenever one of them is late or ends."""

import asyncio
import os
import signal
from datetime import timedelta
from random import Random

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.errors import StorageUnavailable
from tests.archive.conftest import Make
from tests.archive.gate import Gate
from tests.archive.segments import archived_keys, segments_of
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Choice, FaultyS3, Refusal
from tests.support.letters import STREAM, URI, send
from tests.support.metrics import CountedMetrics
from tests.support.worker_process import worker


async def test_a_late_archiver_follows_the_one_that_was_faster(archiving: Make, s3: FaultyS3) -> None:
    """Both have the same events, one of them more; the other's write arrives last, and must not replace anything."""
    keys: list[str] = []
    async with (
        archiving() as backbone,
        archiving() as other,
        backbone.archiver(URI) as slow,
        other.archiver(URI) as fast,
    ):
        for number in range(0, 30, 10):
            s3.before = gate = Gate("PUT")
            keys += [key.entry_id for key in await send(backbone, *range(number, number + 5))]
            late = asyncio.create_task(slow.commit())
            await gate.held.wait()
            keys += [key.entry_id for key in await send(backbone, *range(number + 5, number + 10))]
            await fast.commit()
            gate.opened.set()
            await late
        await asyncio.gather(slow.commit(), fast.commit())
        assert slow.handled + fast.handled == 30
    assert archived_keys(s3.objects) == keys


async def test_a_segment_whose_answer_was_lost_is_found_and_followed(archiving: Make, s3: FaultyS3) -> None:
    """The retry is refused, as the segment exists already."""
    lost: set[str] = set()

    def lose_first_answer(method: str, path: str) -> Choice | None:
        if method != "PUT" or not path.endswith(".zst") or path in lost:
            return None
        lost.add(path)
        return "lose the answer"

    async with archiving(segment_bytes=500) as backbone:
        keys = await send(backbone, *range(10))
        s3.choose = lose_first_answer
        await archive_all(backbone, URI)
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]
    assert len(lost) == len(segments_of(s3.objects)) > 2


async def test_one_works_and_another_takes_over_when_it_stops(archiving: Make, s3: FaultyS3) -> None:
    """The one that waits is ready, has nothing in memory, and commits too if it is asked to."""
    quick = timedelta(milliseconds=40)
    async with archiving(close_after=quick) as backbone, archiving(close_after=quick) as other:
        async with backbone.archiver(URI) as first:
            await first.commit()
            async with other.archiver(URI) as second:
                await send(backbone, 1, 2)
                await eventually(lambda: first.handled == 2)
                assert (second.handled, second.ready, second.lag) == (0, True, timedelta(0))
                await send(backbone, 3)
                await second.commit()
        async with other.archiver(URI) as third:
            await send(backbone, 4)
            await eventually(lambda: third.handled == 1)
    assert len(archived_keys(s3.objects)) == 4


async def test_commit_ends_with_the_archiver(archiving: Make, s3: FaultyS3) -> None:
    """Whoever waits for a commit is told that it was stopped before."""
    async with archiving() as backbone:
        await send(backbone, 1)
        async with backbone.archiver(URI) as archiver:
            s3.fail(Refusal(503, "SlowDown"), 1000)
            committing = asyncio.create_task(archiver.commit())
            await eventually(lambda: not archiver.ready)
            archiver.stop()
            with pytest.raises(StorageUnavailable, match="stopped"):
                await committing
            with pytest.raises(StorageUnavailable, match="stopped"):
                await archiver.commit()
        assert not archiver.alive


async def test_a_backlog_is_committed_in_whole_segments(archiving: Make, s3: FaultyS3, counted: CountedMetrics) -> None:
    """Also when somebody waits for it: not a segment for each page that was read."""
    async with archiving() as backbone:
        await send(backbone, *range(1200))
        await archive_all(backbone, URI)
    assert [len(segment.lines) for segment in segments_of(s3.objects)] == [1200]
    assert counted.count("event_backbone.archived", uri=URI) == 1200


@pytest.mark.parametrize(
    ("seed", "kills"), [(1, 5), *[pytest.param(seed, 40, marks=pytest.mark.long) for seed in range(2, 8)]]
)
async def test_archivers_killed_at_random_points_leave_one_history(
    archiving: Make, s3: FaultyS3, redis: Redis, redis_url: str, seed: int, kills: int
) -> None:
    """While events are produced: each archiver is killed, and another one goes on at once where it was."""
    random, keys, stopping = Random(seed), list[str](), asyncio.Event()

    async def produce(backbone: Backbone) -> None:
        while not stopping.is_set():
            keys.extend(key.entry_id for key in await send(backbone, *range(5)))
            await asyncio.sleep(0.01)

    async with archiving() as backbone:
        producing = asyncio.create_task(produce(backbone))
        async with worker(redis_url, f"--lives={kills}", module="tests.archive.archiver_process") as archivers:
            for life in range(kills):
                await eventually(lambda: len(archivers.numbers("archiving")) > life, 60)  # noqa: B023 - called at once
                point = len(s3.paths) + random.randrange(2, 20)
                await eventually(lambda: len(s3.paths) >= point, 60)  # noqa: B023
                os.kill(archivers.numbers("archiving")[life], signal.SIGKILL)
                await redis.delete(f"{{{STREAM}}}:archiver")
            await archivers.ended()
        stopping.set()
        await producing
        async with backbone.archiver(URI) as archiver_here:
            await archiver_here.commit()
    assert archived_keys(s3.objects) == keys
