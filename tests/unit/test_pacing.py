"""An archiver gives way to those who keep the event loop busy, and to nobody else."""

import asyncio
from functools import partial
from time import perf_counter, thread_time

from event_backbone.archive.pacing import Pacing

MILLISECOND = 0.001


def compute(seconds: float) -> None:
    """Keep the processor busy, however slow it is."""
    until = thread_time() + seconds
    while thread_time() < until:
        pass


async def archive(pacing: Pacing, slices: int) -> None:
    """Do what takes an archiver a millisecond each time."""
    for _ in range(slices):
        compute(MILLISECOND)
        await pacing.give_way()


async def handle(steps: list[float]) -> None:
    """Keep the loop busy until cancelled; note how much was computed."""
    while True:
        compute(MILLISECOND)
        steps.append(MILLISECOND)
        await asyncio.sleep(0)


async def test_it_takes_a_small_share_of_a_busy_loop() -> None:
    """A sixteenth; on a busy machine others get less done meanwhile. Ten slices find out that the loop is busy."""
    pacing, steps = Pacing(), list[float]()
    handling = asyncio.create_task(handle(steps))
    await pacing.measured(partial(archive, pacing, 10))
    steps.clear()
    await pacing.measured(partial(archive, pacing, 10))
    handling.cancel()
    assert sum(steps) > 4 * 10 * MILLISECOND


async def test_it_takes_half_of_a_busy_loop_when_the_archive_is_late() -> None:
    """So it keeps up in the end."""
    pacing, steps = Pacing(), list[float]()
    handling = asyncio.create_task(handle(steps))
    await pacing.measured(partial(archive, pacing, 10))
    pacing.late = True
    steps.clear()
    await pacing.measured(partial(archive, pacing, 10))
    handling.cancel()
    assert sum(steps) < 4 * 10 * MILLISECOND


async def test_it_does_not_rest_where_nobody_else_works() -> None:
    """Not even if its work is done in several tasks."""
    pacing = Pacing()
    began, computed = perf_counter(), thread_time()
    await asyncio.gather(*(pacing.measured(partial(archive, pacing, 50)) for _ in range(2)))
    assert perf_counter() - began < 8 * (thread_time() - computed)


async def test_a_rest_ends_when_it_is_to_stop() -> None:
    """However long it would be."""
    pacing = Pacing()
    handling = asyncio.create_task(handle([]))
    await pacing.measured(partial(archive, pacing, 10))
    compute(100 * MILLISECOND)
    asyncio.get_running_loop().call_soon(pacing.stopping.set)
    began = thread_time()
    assert not await pacing.give_way()
    handling.cancel()
    assert thread_time() - began < 100 * MILLISECOND
