"""A shared timeout ends each wait at its deadline, and nothing else."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from event_backbone.producer.shared_timeout import SharedTimeout


@pytest.fixture
async def timeout() -> AsyncIterator[SharedTimeout]:
    """A timeout for the waits of a test."""
    timeout = SharedTimeout()
    yield timeout
    timeout.stop()


async def _wait(timeout: SharedTimeout, seconds: float) -> None:
    with timeout.at(asyncio.get_running_loop().time() + seconds):
        await asyncio.sleep(60)


@pytest.mark.parametrize("seconds", [0.1, -1])
async def test_a_wait_ends_at_its_deadline(timeout: SharedTimeout, seconds: float) -> None:
    """Not before, and in TimeoutError; at the next turn of the loop if the deadline has passed."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError):
        await _wait(timeout, seconds)
    assert begun + seconds <= loop.time() < begun + 5


async def test_every_wait_has_its_own_deadline(timeout: SharedTimeout) -> None:
    """A timer that is still set for another wait ends this one neither too early nor too late."""
    loop = asyncio.get_running_loop()
    for earlier in (0.05, 60):
        with timeout.at(loop.time() + earlier):
            await asyncio.sleep(0)
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await _wait(timeout, 0.1)
        assert begun + 0.1 <= loop.time() < begun + 5


async def test_waits_at_the_same_time_end_one_by_one(timeout: SharedTimeout) -> None:
    """Whatever the order in which they began; what waits longer goes on, also once the timeout is stopped."""
    ended: list[float] = []

    async def wait(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await _wait(timeout, seconds)
        ended.append(seconds)

    long = asyncio.create_task(_wait(timeout, 60))
    waits = asyncio.gather(*map(wait, (0.15, 0.05, 0.1)))
    await asyncio.sleep(0)
    timeout.stop()
    await waits
    assert ended == [0.05, 0.1, 0.15]
    assert not long.done()
    long.cancel()
    await asyncio.wait([long])


async def test_a_task_may_wait_within_a_wait(timeout: SharedTimeout) -> None:
    """The inner deadline ends the inner wait only, and the outer one both."""

    async def wait_twice() -> None:
        with timeout.at(asyncio.get_running_loop().time() + 0.1):
            with pytest.raises(TimeoutError):
                await _wait(timeout, 0.05)
            await _wait(timeout, 60)

    with pytest.raises(TimeoutError):
        await wait_twice()


async def test_nothing_ends_between_waits(timeout: SharedTimeout) -> None:
    """The task goes on undisturbed when the deadline of a finished wait passes."""
    with timeout.at(asyncio.get_running_loop().time() + 0.02):
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)


async def test_a_cancelled_task_stays_cancelled(timeout: SharedTimeout) -> None:
    """Only the timeout's own cancellation becomes TimeoutError."""
    task = asyncio.create_task(_wait(timeout, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_is_cancelled_at_its_deadline_is_cancelled(timeout: SharedTimeout) -> None:
    """Whoever cancelled it must not find that it went on."""
    wait = timeout.at(asyncio.get_running_loop().time() + 60)

    async def sleep() -> None:
        with wait:
            await asyncio.sleep(60)

    task = asyncio.create_task(sleep())
    await asyncio.sleep(0)
    wait.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_goes_on_after_a_cancellation_still_has_timeouts(timeout: SharedTimeout) -> None:
    """A cancellation from before the wait is none of it, and a timeout leaves none behind."""

    async def go_on() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            with pytest.raises(TimeoutError):
                await _wait(timeout, 0)
        task = asyncio.current_task()
        return 0 if task is None else task.cancelling()

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == 1
