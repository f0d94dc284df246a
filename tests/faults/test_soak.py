"""Very many events in one process: it uses no more after 150,000 than after 50,000."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest
from pydantic import TypeAdapter

from event_backbone.testing.servers import RedisServer
from tests.faults.soak import Usage
from tests.support.worker_process import PATH, ROOT

EVENTS = 150_000
WARM_AFTER = 50_000
MORE_OBJECTS = 500
"""So many more objects, and blocks of memory, may be there at random: what grows by one for each 200 events fails."""
MORE_BYTES = 4 << 20


async def counted(url: str, events: int) -> dict[int, Usage]:
    """Run the process, and return its usage by the number of events."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.soak", f"--url={url}", f"--events={events}"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATH},
        stdout=PIPE,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    lines = [TypeAdapter(Usage).validate_json(line) for line in output.splitlines()]
    return {line.events: line for line in lines}


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_long_run_holds_no_more_than_a_short_one(own_redis: RedisServer) -> None:
    """Produced, handled, retried and dead-lettered: neither objects, tasks, blocks nor memory grow with the count."""
    seen = await counted(own_redis.url, EVENTS)
    warm, last = seen[WARM_AFTER], seen[EVENTS]
    assert last.tasks <= warm.tasks + 2, (warm, last)
    assert last.objects <= warm.objects + MORE_OBJECTS, (warm, last)
    assert last.blocks <= warm.blocks + MORE_OBJECTS, (warm, last)
    assert last.peak_bytes <= warm.peak_bytes + MORE_BYTES, (warm, last)
