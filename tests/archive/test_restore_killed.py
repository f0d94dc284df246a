"""A restore whose process is killed, and run again, while two archivers work, restores and archives everything once."""

import asyncio
import json
import os
import random
import sys
from asyncio.subprocess import PIPE
from datetime import timedelta
from signal import SIGKILL
from typing import cast
from uuid import UUID

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.archives import STREAM, ArchivedStream
from tests.support.eventually import eventually
from tests.support.losing_redis import segment_lines
from tests.support.parcels import URI, Parcels
from tests.support.worker_process import PATH

_EVENTS = 1000
_STEPS = 12  # of a restore of these events, at least

RESTORE = """
import asyncio, sys
from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage

def show(progress):
    print(progress.step, flush=True)
    sys.stdin.readline()

async def main():
    async with Backbone(sys.argv[1], storage=S3Storage(), archive=S3Archive(), environment="test") as backbone:
        await backbone.restore(sys.argv[2], on_progress=show)

asyncio.run(main())
"""


async def _start_restore(url: str) -> asyncio.subprocess.Process:
    """Restore in a process that waits for a line, or the end of its input, after each step."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RESTORE, url, URI), stdin=PIPE, stdout=PIPE, env={**os.environ, "PYTHONPATH": PATH}
    )


async def _kill_after(steps: int, process: asyncio.subprocess.Process, moment: float) -> None:
    """Kill a restore so many seconds after this many steps; it cannot end, as it waits at the next one."""
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(steps):
        assert await process.stdout.readline()
        process.stdin.write(b"\n")
    await asyncio.sleep(moment)
    process.kill()
    await process.communicate()
    assert process.returncode == -SIGKILL


async def _event_ids(redis: Redis) -> list[tuple[str, UUID]]:
    """Return the keys and event ids in the stream, as an independent client reads them."""
    rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(STREAM.key))
    return [(key.decode(), UUID(json.loads(fields[b"metadata"])["id"])) for key, fields in rows]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(11, 21))])
async def test_a_restore_that_is_killed_is_run_again(
    archived: ArchivedStream, redis: Redis, redis_server: RedisServer, s3_server: S3Server, seed: int
) -> None:
    """Wherever it was, the next run does what is left; segments and stream then have the same events, each once."""
    chosen = random.Random(seed)
    producer = archived.backbone.producer(Parcels, uri=URI)
    await asyncio.gather(*(producer.packed(number) for number in range(_EVENTS)))
    short = S3Archive(segment_bytes=30_000, close_after=timedelta(milliseconds=100))
    async with (
        Backbone(archived.url, storage=S3Storage(), archive=short, environment="test") as backbone,
        backbone.archiver(URI) as one,
        backbone.archiver(URI) as other,
    ):
        await asyncio.gather(one.commit(), other.commit())
        before = [(str(line["event_key"]), UUID(str(line["id"]))) for line in segment_lines(s3_server)]
        assert before == await _event_ids(redis)
        await asyncio.gather(*(producer.packed(number) for number in range(_EVENTS, _EVENTS + 300)))
        redis_server.flush()
        live = asyncio.gather(*(producer.packed(number) for number in range(2 * _EVENTS, 2 * _EVENTS + 50)))
        process = await _start_restore(archived.url)
        await _kill_after(chosen.randrange(1, _STEPS), process, moment=chosen.uniform(0, 0.02))
        assert await redis.delete(STREAM.key_of("restore")) == 1  # its lock, which would end by itself
        process = await _start_restore(archived.url)
        await process.communicate(b"")
        assert process.returncode == 0
        await live
        await asyncio.gather(eventually(lambda: one.ready), eventually(lambda: other.ready))
        await asyncio.gather(one.commit(), other.commit())
    found = await _event_ids(redis)
    assert found[:_EVENTS] == before
    assert len({event_id for _, event_id in found}) == len(found) == _EVENTS + 350
    assert [(line["event_key"], UUID(str(line["id"]))) for line in segment_lines(s3_server)] == found
