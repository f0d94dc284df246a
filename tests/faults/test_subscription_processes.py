"""Consumers as real processes that are killed, frozen and stopped in the middle of their work."""

import signal
from collections import Counter
from datetime import timedelta
from time import monotonic

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, stopped_within
from tests.support.worker_process import Worker, worker


async def pending(backbone: Backbone) -> int:
    """Return how many events the group has delivered and not finished."""
    return sum(state.pending for state in await backbone.groups(URI))


async def only_are_pending(backbone: Backbone, count: int) -> bool:
    """Return whether this many events are pending, and all others finished."""
    (state,) = await backbone.groups(URI)
    return state.pending == count and state.unread == 0


async def test_sigkill_in_mid_batch_redelivers_only_what_was_unfinished(backbone: Backbone, redis_url: str) -> None:
    """Promise 3: ten of twenty are stuck; the others, finished beside them, do not come again."""
    await pack(backbone, *range(20))
    async with worker(redis_url, "--lease=1", "--concurrency=20", "--block-odd") as killed:
        await eventually(lambda: only_are_pending(backbone, 10))
        killed.send(signal.SIGKILL)
        await killed.ended()
    assert sorted(killed.numbers("done")) == list(range(0, 20, 2))
    async with worker(redis_url, "--lease=1") as heir:
        await eventually(lambda: only_are_pending(backbone, 0))
        assert sorted(heir.numbers("done")) == list(range(1, 20, 2))
        assert set(heir.attempts("done")) == {2}


async def test_a_batch_that_was_killed_comes_again_as_a_batch(backbone: Backbone, redis_url: str) -> None:
    """Promise 3: all of it at its second attempt, and nothing of the batch that had ended before."""
    await pack(backbone, *range(10))
    async with worker(redis_url, "--lease=1", "--concurrency=1", "--batches-of=5", "--block-odd") as killed:
        await killed.until("began 9 1")
        await eventually(lambda: only_are_pending(backbone, 5))
        killed.send(signal.SIGKILL)
        await killed.ended()
    assert killed.numbers("done") == [0, 1, 2, 3, 4]
    async with worker(redis_url, "--lease=1", "--batches-of=5") as heir:
        await eventually(lambda: only_are_pending(backbone, 0))
        assert sorted(heir.steps("done")) == [(number, 2) for number in range(5, 10)]
        assert heir.steps("batch") == [(5, 2)]


async def test_a_poison_event_that_kills_its_process_takes_no_neighbour_with_it(
    backbone: Backbone, redis_url: str
) -> None:
    """Promise 5: a supervisor restarts the worker until other events go on; one dead letter is left."""
    numbers = [1, 2, 3, 666, 4, 5, 6]
    await pack(backbone, *numbers)
    done: list[int] = []
    for _ in range(12):
        async with worker(redis_url, "--lease=0.3", "--concurrency=3", "--max-attempts=3") as restarted:
            await eventually(lambda: only_dead_or_done(backbone, restarted))
        done += restarted.numbers("done")
        if await pending(backbone) == 0:
            break
    letters = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert [each.reason for each in letters] == ["crashed"]
    assert set(done) == {1, 2, 3, 4, 5, 6}


async def only_dead_or_done(backbone: Backbone, process: Worker) -> bool:
    """Return whether the process has died, or the group has nothing left to do."""
    return process.process.returncode is not None or await only_are_pending(backbone, 0)


async def test_a_frozen_process_that_wakes_up_cannot_ack_what_another_has_taken_over(
    backbone: Backbone, redis_url: str
) -> None:
    """Promise 4: its handler is cancelled; the event was handled by the other, once."""
    await pack(backbone, 1)
    async with worker(redis_url, "--lease=0.5", "--block-odd") as frozen:
        await frozen.until("began 1 1")
        frozen.send(signal.SIGSTOP)
        async with worker(redis_url, "--lease=0.5") as other:
            await other.until("done 1 2")
            await eventually(lambda: only_are_pending(backbone, 0))
            frozen.send(signal.SIGCONT)
            await frozen.until("cancelled 1 1")
        assert frozen.numbers("done") == []


async def test_sigterm_finishes_what_runs_and_gives_the_rest_back(backbone: Backbone, redis_url: str) -> None:
    """Promise 8: after a clean exit another process gets the rest at once, as the attempt it was, cancelled or not."""
    await pack(backbone, *range(1, 31))
    async with worker(redis_url, "--concurrency=2", "--block-odd", "--drain=0.2") as stopped:
        await eventually(lambda: len(stopped.numbers("began")) >= 2)
        stopped.send(signal.SIGTERM)
        assert await stopped.ended() == 0
    assert "stopped" in stopped.lines
    assert stopped.numbers("cancelled")
    rest = set(range(1, 31)) - set(stopped.numbers("done"))
    (state,) = await backbone.groups(URI)
    assert (state.consumers, state.pending) == (0, state.parked)
    async with worker(redis_url) as heir:
        await eventually(lambda: sorted(heir.numbers("done")) == sorted(rest))
        assert set(heir.attempts("done")) == {1}


async def test_a_crashed_member_leaves_the_group_when_its_lease_ends(backbone: Backbone, redis_url: str) -> None:
    """Promise 8: also when it had nothing pending; the looks of others remove it."""
    async with worker(redis_url, "--lease=1") as killed:
        await pack(backbone, 2)
        await killed.until("done 2 1")
        await eventually(lambda: only_are_pending(backbone, 0))
        killed.send(signal.SIGKILL)
        await killed.ended()
    (before,) = await backbone.groups(URI)
    async with stopped_within(backbone.subscribe(Consumer(Parcels), uri=URI, group=GROUP)) as heir:
        await pack(backbone, 3)
        await eventually(lambda: heir.handled == 1)
        await eventually(lambda: _members(backbone, 1))
    (after,) = await backbone.groups(URI)
    assert (before.consumers, after.consumers) == (1, 0)


async def _members(backbone: Backbone, count: int) -> bool:
    (state,) = await backbone.groups(URI)
    return state.consumers == count


@pytest.mark.parametrize(("number", "within_seconds"), [(signal.SIGTERM, 1.0), (signal.SIGKILL, 2.0)])
async def test_what_a_worker_had_is_soon_another_ones(
    backbone: Backbone, redis_url: str, number: signal.Signals, within_seconds: float
) -> None:
    """If released, within a second; if the worker was killed, within its lease and one more (and slack)."""
    remembering, lease = Remembering(), timedelta(seconds=1)
    await pack(backbone, 1, 3, 5)
    async with worker(redis_url, "--lease=1", "--drain=0", "--block-odd") as ended:
        await ended.until("began 5 1")
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)) as heir:
            await eventually(lambda: heir.ready)
            ended.send(number)
            await ended.ended()
            begun = monotonic()
            await eventually(lambda: heir.handled == 3)
            assert monotonic() - begun < within_seconds + 1.5
    assert set(remembering.attempts) == {1 if number == signal.SIGTERM else 2}


async def test_workers_that_block_their_loop_rob_each_other_only_with_a_count(
    backbone: Backbone, redis_url: str
) -> None:
    """One event blocks longer than the lease. No attempt is seen twice; innocent events run about twice at most."""
    options = ("--lease=0.5", "--sleep=1.5", "--concurrency=5", "--max-attempts=3")
    async with worker(redis_url, *options) as one, worker(redis_url, *options) as two:
        await pack(backbone, *range(10), 777, *range(10, 20))
        await eventually(lambda: only_are_pending(backbone, 0), 60)
        begun = Counter((each[0], each[1]) for process in (one, two) for each in process.steps("began"))
    assert {number for number, _ in begun} == {777, *range(20)}
    assert set(begun.values()) == {1}
    times = Counter(number for number, _ in begun)
    del times[777]
    assert max(times.values()) <= 3
    assert times.total() <= 2 * 20
