"""The batcher's timeout ends a wait at its deadline, and nothing else."""

import asyncio

import pytest

from event_backbone.producer.reusable_timeout import ReusableTimeout


async def _wait(timeout: ReusableTimeout, seconds: float) -> None:
    with timeout.at(asyncio.get_running_loop().time() + seconds):
        await asyncio.sleep(60)


async def test_a_wait_ends_at_its_deadline() -> None:
    """Not before, and in TimeoutError."""
    loop, timeout = asyncio.get_running_loop(), ReusableTimeout()
    begun = loop.time()
    with pytest.raises(TimeoutError):
        await _wait(timeout, 0.1)
    assert 0.1 <= loop.time() - begun < 5


async def test_every_wait_has_its_own_deadline() -> None:
    """A timer that is still set for another wait ends this one neither too early nor too late."""
    loop, timeout = asyncio.get_running_loop(), ReusableTimeout()
    for earlier in (0.05, 60):
        with timeout.at(loop.time() + earlier):
            await asyncio.sleep(0)
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await _wait(timeout, 0.1)
        assert 0.1 <= loop.time() - begun < 5
    timeout.stop()


async def test_nothing_ends_between_waits() -> None:
    """The task goes on undisturbed when the deadline of a finished wait passes."""
    timeout = ReusableTimeout()
    with timeout.at(asyncio.get_running_loop().time() + 0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_cancelled_task_stays_cancelled() -> None:
    """Only the timeout's own cancellation becomes TimeoutError."""
    timeout = ReusableTimeout()
    task = asyncio.create_task(_wait(timeout, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    timeout.stop()


async def test_a_deadline_that_has_passed_ends_the_wait() -> None:
    """At the next turn of the loop."""
    with pytest.raises(TimeoutError):
        await _wait(ReusableTimeout(), -1)
