"""Batch handlers: which events come together, and what becomes of each."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from event_backbone import (
    Backbone,
    Batch,
    Context,
    OnceInvalid,
)
from event_backbone.testing import memory_backbone
from tests.support.batches import AT_ONCE, LONG, Gathering, number, reasons
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, group_state, pack, run_to_the_end, stopped_within


async def test_a_backlog_comes_in_full_batches(backbone: Backbone) -> None:
    """No batch waits while there is enough to fill it; the last one has what is left, and waits for nothing more."""
    gathering = Gathering(most=20, within=LONG)
    await pack(backbone, *range(50))
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=50))
    assert sorted(len(each) for each in gathering.batches) == [10, 20, 20]
    assert sorted(gathering.numbers) == list(range(50))
    assert (await group_state(backbone)).pending == 0


async def test_one_event_waits_for_others_as_long_as_was_said(backbone: Backbone) -> None:
    """Nothing else comes, so it is a batch by itself; an empty batch is never handled."""
    gathering = Gathering(most=3, within=timedelta(milliseconds=20))
    async with stopped_within(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP)):
        await pack(backbone, 1)
        await eventually(lambda: gathering.batches == [[1]])
        await pack(backbone, 2)
        await eventually(lambda: gathering.batches == [[1], [2]])


async def test_a_job_until_the_group_is_empty_handles_what_fills_no_batch(backbone: Backbone) -> None:
    """The rest waits ``within`` at most; what fails is waited for, too."""
    gathering = Gathering(most=20, within=timedelta(milliseconds=20))

    async def fail(batch: Batch[[int]]) -> None:
        if number(batch[0]) == 40 and batch[0].ctx.attempt == 1:
            raise OSError

    gathering.act = fail
    await pack(backbone, *range(45))
    subscription = backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, until="empty", retry=AT_ONCE)
    await run_to_the_end(subscription)
    assert [len(each) for each in gathering.batches[:3]] == [20, 20, 5]
    assert sorted(gathering.batches[3:]) == [[number] for number in range(40, 45)]
    assert (await group_state(backbone)).pending == 0


async def test_a_batch_counts_as_one_that_is_handled(backbone: Backbone) -> None:
    """As many batch handlers run at once as ``concurrency`` allows, whatever is in them."""
    gathering, release = Gathering(most=5, within=LONG), asyncio.Event()

    async def wait(batch: Batch[[int]]) -> None:
        await release.wait()

    gathering.act = wait
    await pack(backbone, *range(15))
    async with stopped_within(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, concurrency=2)) as running:
        await eventually(lambda: len(gathering.batches) == 2 and running.in_flight == 15)
        assert [len(each) for each in gathering.batches] == [5, 5]
        release.set()
        await eventually(lambda: len(gathering.numbers) == 15)


async def test_with_one_at_a_time_what_comes_between_ends_a_batch(backbone: Backbone) -> None:
    """So events are handled in the order of the stream, and each batch begins when the one before is settled."""
    gathering, order = Gathering(most=100, within=timedelta(milliseconds=10)), list[list[int]]()

    async def note(batch: Batch[[int]]) -> None:
        assert (await group_state(backbone)).pending >= len(batch)
        order.append([number(each) for each in batch])

    gathering.act = note

    @gathering.consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        order.append([number])

    producer = backbone.producer(Parcels, uri=URI)
    await pack(backbone, 0, 1)
    await producer.sent(2, "a@b.c")
    await pack(backbone, 3, 4)
    subscription = backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, concurrency=1, max_events=5)
    await run_to_the_end(subscription)
    assert [number for each in order for number in each] == [0, 1, 2, 3, 4]
    assert [2] in order


async def test_a_stop_gives_back_what_waits_in_a_batch_uncounted(backbone: Backbone) -> None:
    """And what a cancelled batch handler had: the next member handles both at their first attempt."""
    gathering = Gathering(most=2, within=LONG)
    began, attempts = asyncio.Event(), list[int]()

    async def stuck(batch: Batch[[int]]) -> None:
        began.set()
        await asyncio.Event().wait()

    gathering.act = stuck
    await pack(backbone, 0, 1, 2)
    async with stopped_within(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, drain=timedelta())) as one:
        await began.wait()
        await eventually(lambda: one.in_flight == 3)

    async def note(batch: Batch[[int]]) -> None:
        attempts.extend(each.ctx.attempt for each in batch)

    gathering.act = note
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=3))
    assert gathering.batches[0] == [0, 1]
    assert sorted(gathering.numbers[2:]) == [0, 1, 2]
    assert attempts == [1, 1, 1]


async def test_interceptors_wrap_each_event_of_a_batch() -> None:
    """All of a batch are within them at the same time; one that calls nothing takes its event out of the batch."""
    gathering, ended = Gathering(most=3), dict[int, str]()
    keys: list[Any] = []

    async def watch(ctx: Context[Any], call_next: Callable[[Context[Any]], Awaitable[None]]) -> None:
        keys.append(ctx.metadata.key)
        place = len(keys) - 1
        if place == 1:
            return
        try:
            await call_next(ctx)
        except Exception as error:
            ended[place] = type(error).__name__
            raise
        ended[place] = "fine"

    async def act(batch: Batch[[int]]) -> None:
        batch[0].reject("no")

    gathering.act = act
    async with memory_backbone(handle_interceptors=[watch]) as backbone:
        await pack(backbone, 0, 1, 2)
        await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=3))
        assert gathering.batches == [[0, 2]]
        assert ended == {0: "Reject", 2: "fine"}
        assert await reasons(backbone) == {0: "rejected no"}


async def test_an_interceptor_that_lets_through_one_at_a_time_holds_up_nothing_forever() -> None:
    """Its batch would wait for all to come through, and it for the batch: the others follow in batches after it."""
    gathering, lock = Gathering(most=3, within=timedelta()), asyncio.Lock()

    async def one_at_a_time(ctx: Context[Any], call_next: Callable[[Context[Any]], Awaitable[None]]) -> None:
        async with lock:
            await call_next(ctx)

    async with memory_backbone(handle_interceptors=[one_at_a_time]) as backbone:
        await pack(backbone, 0, 1, 2)
        await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=3))
    assert gathering.batches == [[0], [1], [2]]


async def test_what_is_produced_within_handling_is_caused_by_that_event(backbone: Backbone) -> None:
    """Also once; outside of it a batch handler has no event, however many came."""
    gathering = Gathering(most=2)
    producer = backbone.producer(Parcels, uri="follow-ups")
    refused = 0

    async def act(batch: Batch[[int]]) -> None:
        nonlocal refused
        with pytest.raises(OnceInvalid, match=r"each\.handling"):
            await producer.packed.using(once="one")(0)
        refused += 1
        for each in batch:
            with each.handling():
                await producer.packed.using(once="one")(number(each))
        if batch[0].ctx.attempt == 1:
            raise OSError

    gathering.act = act
    await pack(backbone, 0, 1)
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=2, retry=AT_ONCE))
    causes = [str(each.metadata.event_id) async for each in backbone.reader(URI).scan()]
    assert [each.metadata.causation_id async for each in backbone.reader("follow-ups").scan()] == causes
    assert refused == 3
