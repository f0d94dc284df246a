"""Replaying with batch handlers: the history comes in full batches, and each event is still decided by itself."""

import asyncio
from datetime import timedelta
from time import monotonic

import pytest

from event_backbone import (
    Backbone,
    Batch,
    Consumer,
    Context,
    EventKey,
    ReplayReport,
    ReplayStopped,
    RetryPolicy,
)
from tests.support.batches import AT_ONCE, LONG, Gathering, number
from tests.support.parcels import URI, Parcels, pack

FOLLOW_UPS = "follow-ups"


async def _keys(backbone: Backbone) -> list[EventKey]:
    return [each.key async for each in backbone.reader(URI).scan()]


@pytest.mark.parametrize("concurrency", [1, 10])
@pytest.mark.parametrize(("most", "sizes"), [(100, [100] * 7 + [50]), (300, [300, 300, 150]), (1, [1] * 750)])
async def test_the_history_comes_in_full_batches(
    backbone: Backbone, concurrency: int, most: int, sizes: list[int]
) -> None:
    """Whatever pages it is read by; only the last is smaller, and none waits for ``within``."""
    gathering = Gathering(most=most, within=LONG)
    producer = backbone.producer(Parcels, uri=URI)
    await asyncio.gather(*(producer.packed(each) for each in range(750)))
    report = await backbone.replay(gathering.consumer, URI, concurrency=concurrency)
    assert [len(each) for each in gathering.batches] == sizes
    assert gathering.numbers == list(range(750))
    assert (report.handled, report.next) == ({"packed": 750}, (await _keys(backbone))[-1].successor())


async def test_with_one_at_a_time_what_comes_between_ends_a_batch(backbone: Backbone) -> None:
    """And a failed batch ends when its last event is done with: each is attempted alone, in order, before the next."""
    gathering, order = Gathering(most=3), list[list[tuple[int, int]]]()

    async def fail(batch: Batch[[int]]) -> None:
        order.append([(number(each), each.ctx.attempt) for each in batch])
        await asyncio.sleep(0)
        if batch[0].ctx.attempt == 1 and number(batch[0]) == 3:
            raise OSError
        if batch[0].ctx.attempt == 2 and number(batch[0]) == 4:
            raise OSError

    gathering.act = fail

    @gathering.consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        order.append([(number, ctx.attempt)])

    producer = backbone.producer(Parcels, uri=URI)
    await pack(backbone, 0, 1)
    await producer.sent(2, "a@b.c")
    await pack(backbone, *range(3, 10))
    report = await backbone.replay(gathering.consumer, URI, concurrency=1, retry=AT_ONCE)
    assert order == [
        [(0, 1), (1, 1)], [(2, 1)], [(3, 1), (4, 1), (5, 1)], [(3, 2)], [(4, 2)], [(4, 3)], [(5, 2)],
        [(6, 1), (7, 1), (8, 1)], [(9, 1)],
    ]  # fmt: skip
    assert report.handled == {"packed": 9, "sent": 1}


async def test_events_of_a_failed_batch_do_not_run_more_at_once_than_batches_may(backbone: Backbone) -> None:
    """``concurrency`` holds for what is attempted alone, too; all delays run at the same time."""
    gathering, running, most = Gathering(most=20), 0, 0

    async def fail_together(batch: Batch[[int]]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if len(batch) > 1:
            raise OSError

    gathering.act = fail_together
    await pack(backbone, *range(60))
    began, delay = monotonic(), timedelta(milliseconds=100)
    report = await backbone.replay(
        gathering.consumer, URI, concurrency=2, retry=RetryPolicy(max_attempts=2, backoff=delay)
    )
    assert most == 2
    assert report.handled == {"packed": 60}
    assert len(gathering.batches) == 63
    assert monotonic() - began < 5


async def test_each_event_is_decided_and_counted_by_itself(backbone: Backbone) -> None:
    """What is erased never reaches the handler; what ``once`` means holds for all attempts."""
    gathering, producer = Gathering(most=5), backbone.producer(Parcels, uri=FOLLOW_UPS)
    attempts: list[tuple[int, int]] = []

    async def decide(batch: Batch[[int]]) -> None:
        for each in batch:
            assert each.ctx.replaying
            attempts.append((number(each), each.ctx.attempt))
            with each.handling():
                await producer.packed.using(once="one")(number(each))
            if number(each) == 1:
                each.reject("no such parcel")
            if number(each) == 2:
                each.retry(timedelta())
            if number(each) == 3:
                await each.ctx.ack()

    gathering.act = decide
    await pack(backbone, *range(5))
    keys = await _keys(backbone)
    await backbone.erase(URI, keys[0])
    report = await backbone.replay(gathering.consumer, URI, retry=AT_ONCE, on_failure="continue")
    assert attempts == [(1, 1), (2, 1), (3, 1), (4, 1), (2, 2), (2, 3)]
    assert (report.handled, report.skipped) == ({"packed": 2}, {"erased": 1})
    assert {(each.key, each.reason, each.detail) for each in report.failures} == {
        (keys[1], "rejected", "no such parcel"),
        (keys[2], "attempts-exhausted", ""),
    }
    produced = [
        each.as_(Parcels.packed).call(lambda number: number) async for each in backbone.reader(FOLLOW_UPS).scan()
    ]
    assert produced == [1, 2, 3, 4]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_replay_stops_at_the_one_that_cannot_be_handled(backbone: Backbone, concurrency: int) -> None:
    """Its batch fails with it, but the others do not; everything before it was handled."""
    gathering = Gathering(most=4)

    async def fail(batch: Batch[[int]]) -> None:
        await asyncio.sleep(0)
        if any(number(each) == 6 for each in batch):
            raise ValueError

    gathering.act = fail
    await pack(backbone, *range(12))
    keys = await _keys(backbone)
    with pytest.raises(ReplayStopped, match=f"{keys[6]} .*attempts-exhausted, ValueError") as stopped:
        await backbone.replay(gathering.consumer, URI, concurrency=concurrency, retry=AT_ONCE)
    assert stopped.value.next == str(keys[6])
    assert gathering.batches[1] == [4, 5, 6, 7]
    assert [5] in gathering.batches
    assert [7] not in gathering.batches


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemError, GeneratorExit])
async def test_a_batch_handler_that_ends_badly_hangs_nothing(backbone: Backbone, error: type[BaseException]) -> None:
    """One that cancels itself has failed; what is worse than a failure ends the replay."""
    gathering = Gathering(most=2)

    async def end_badly(batch: Batch[[int]]) -> None:
        await asyncio.sleep(0)
        raise error

    gathering.act = end_badly
    await pack(backbone, *range(3))
    if issubclass(error, GeneratorExit):
        with pytest.raises(GeneratorExit):
            await backbone.replay(gathering.consumer, URI, retry=AT_ONCE)
        return
    report = await backbone.replay(gathering.consumer, URI, retry=AT_ONCE, on_failure="continue")
    assert report.failed == {"attempts-exhausted": 3}


async def test_a_cancelled_replay_says_how_far_it_is(backbone: Backbone) -> None:
    """The batch that ran is not done with; its handler has ended."""
    gathering, reached, ended = Gathering(most=2), asyncio.Event(), list[int]()
    reports: list[ReplayReport] = []

    async def stuck(batch: Batch[[int]]) -> None:
        if number(batch[0]) == 2:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(2)

    gathering.act = stuck
    await pack(backbone, *range(5))
    replaying = asyncio.create_task(backbone.replay(gathering.consumer, URI, concurrency=1, on_progress=reports.append))
    await reached.wait()
    replaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replaying
    assert ended == [2]
    assert (reports[-1].next, reports[-1].handled) == ((await _keys(backbone))[2], {"packed": 2})


async def test_a_rate_counts_events_not_batches(backbone: Backbone) -> None:
    """The next batch begins once all events of the one before had their time."""
    gathering = Gathering(most=10)
    await pack(backbone, *range(21))
    began = monotonic()
    await backbone.replay(gathering.consumer, URI, rate=200)
    assert monotonic() - began >= 0.09
    assert [len(each) for each in gathering.batches] == [10, 10, 1]


async def test_payloads_that_do_not_fit_in_memory_make_smaller_batches(backbone: Backbone) -> None:
    """A batch begins with what was read, rather than waiting for room that only it can give."""
    numbers, consumer, text = list[list[int]](), Consumer(Parcels), "x" * 1024 * 1024

    @consumer.on_batch(Parcels.sent, most=1000)
    async def sent(batch: Batch[[int, str]]) -> None:
        numbers.append([each.arguments["number"] for each in batch])

    producer = backbone.producer(Parcels, uri=URI)
    for each in range(70):
        await producer.sent(each, text)
    async with asyncio.timeout(20):
        report = await backbone.replay(consumer, URI)
    assert [each for batch in numbers for each in batch] == list(range(70))
    assert 1 < len(numbers) < 10
    assert report.handled == {"sent": 70}


async def test_an_event_of_a_rare_kind_does_not_keep_progress_back(backbone: Backbone) -> None:
    """Its batch begins without being full, so that ``next`` goes on with the events after it."""
    gathering, last, before_last = Gathering(most=5), 3000, list[list[int]]()

    @gathering.consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        if number == last - 1:
            before_last.extend(gathering.batches)

    producer = backbone.producer(Parcels, uri=URI)
    await pack(backbone, 0, 1)
    await asyncio.gather(*(producer.sent(number, "a@b.c") for number in range(last)))
    report = await backbone.replay(gathering.consumer, URI)
    assert report.handled == {"packed": 2, "sent": last}
    assert before_last == gathering.batches == [[0, 1]]


@pytest.mark.parametrize(("concurrency", "order"), [(1, [0, 1, 2]), (2, [1, 2, 0])])
async def test_who_waits_for_long_keeps_the_others_waiting_only_in_order(
    backbone: Backbone, concurrency: int, order: list[int]
) -> None:
    """Beside other batches, those of a failed batch are attempted in the order in which they are due."""
    gathering = Gathering(most=3)

    async def put_off(batch: Batch[[int]]) -> None:
        for each in batch:
            if each.ctx.attempt == 1:
                each.retry(timedelta(milliseconds=100) if number(each) == 0 else timedelta())

    gathering.act = put_off
    await pack(backbone, 0, 1, 2)
    await backbone.replay(gathering.consumer, URI, concurrency=concurrency)
    assert gathering.batches == [[0, 1, 2], *([number] for number in order)]
