"""Batch handlers whose events fail: what becomes of each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from event_backbone import (
    Backbone,
    Batch,
    Context,
    Reject,
    Retry,
    RetryPolicy,
)
from event_backbone.testing import memory_backbone
from tests.support.batches import AT_ONCE, Gathering, number, reasons
from tests.support.parcels import GROUP, URI, pack, run_to_the_end


async def test_each_event_is_decided_by_itself(backbone: Backbone) -> None:
    """One is rejected, one retried, one acked early; the rest is acked when the handler returns."""
    gathering = Gathering(most=4)

    async def decide(batch: Batch[[int]]) -> None:
        for each in batch:
            if number(each) == 1:
                each.reject("no such parcel")
            if number(each) == 2 and each.ctx.attempt == 1:
                each.retry(timedelta())
            if number(each) == 3:
                await each.ctx.ack()

    gathering.act = decide
    await pack(backbone, 0, 1, 2, 3)
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=4))
    assert gathering.batches == [[0, 1, 2, 3], [2]]
    assert await reasons(backbone) == {1: "rejected no such parcel"}


@pytest.mark.parametrize(
    ("error", "dead"),
    [
        (Reject("no"), {0: "rejected no", 2: "rejected no"}),
        (Retry(timedelta()), {}),
        (OSError("down"), {}),
    ],
)
async def test_what_the_handler_raises_decides_for_the_undecided(
    backbone: Backbone, error: Exception, dead: dict[int, str]
) -> None:
    """Not for what was acked before. Those that failed come again, each alone."""
    gathering = Gathering(most=3)

    async def fail(batch: Batch[[int]]) -> None:
        if batch[0].ctx.attempt == 1:
            await batch[1].ctx.ack()
            raise error

    gathering.act = fail
    await pack(backbone, 0, 1, 2)
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=3, retry=AT_ONCE))
    again = [] if dead else [[0], [2]]
    assert sorted(gathering.batches[1:]) == again
    assert await reasons(backbone) == dead


async def test_one_bad_event_does_not_use_up_the_attempts_of_others(backbone: Backbone) -> None:
    """It fails its first batch; from then on it fails alone."""
    gathering = Gathering(most=5)

    async def fail(batch: Batch[[int]]) -> None:
        if any(number(each) == 3 for each in batch):
            raise OSError

    gathering.act = fail
    await pack(backbone, *range(5))
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=5, retry=AT_ONCE))
    assert await reasons(backbone) == {3: "attempts-exhausted"}
    assert gathering.batches[0] == [0, 1, 2, 3, 4]
    assert sorted(gathering.batches[1:]) == [[0], [1], [2], [3], [3], [4]]


@pytest.mark.parametrize("ack", ["manual", "always"])
async def test_ack_policies_hold_for_each_event(backbone: Backbone, ack: Any) -> None:
    """``manual``: what was not acked comes again, with the same attempt; ``always``: only a Reject is not acked."""
    gathering = Gathering(most=3)

    async def act(batch: Batch[[int]]) -> None:
        if ack == "manual":
            assert {each.ctx.attempt for each in batch} == {1}
            await batch[0].ctx.ack()
        else:
            batch[0].reject("no")
            raise OSError

    gathering.act = act
    await pack(backbone, 0, 1, 2)
    subscription = backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=3, retry=AT_ONCE, ack=ack)
    await run_to_the_end(subscription)
    assert gathering.batches[0] == [0, 1, 2]
    assert sorted(gathering.numbers[3:])[:2] == ([1, 2] if ack == "manual" else [])
    assert await reasons(backbone) == ({} if ack == "manual" else {0: "rejected no"})


async def test_a_cancelled_batch_handler_is_a_failure_of_its_events(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it was the subscription that cancelled it; each failure names its event."""
    caplog.set_level(logging.WARNING, "event_backbone")
    gathering = Gathering(most=2)

    async def cancel_itself(batch: Batch[[int]]) -> None:
        if len(batch) == 2:
            raise asyncio.CancelledError

    gathering.act = cancel_itself
    await pack(backbone, 0, 1)
    await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=2, retry=AT_ONCE))
    assert sorted(gathering.batches) == [[0], [0, 1], [1]]
    assert sum("failed on attempt 1" in each for each in caplog.messages) == 2


@pytest.mark.parametrize("intercepted", [False, True])
async def test_what_was_decided_holds_when_the_handler_then_ends_as_cancelled(*, intercepted: bool) -> None:
    """As when a task that it waits for was cancelled: that decides only for the others."""
    gathering = Gathering(most=2)

    async def pass_on(ctx: Context[Any], call_next: Callable[[Context[Any]], Awaitable[None]]) -> None:
        await call_next(ctx)

    async def decide_and_end(batch: Batch[[int]]) -> None:
        batch[0].reject("no")
        cancelled = asyncio.create_task(asyncio.Event().wait())
        cancelled.cancel()
        await cancelled

    gathering.act = decide_and_end
    once = RetryPolicy(max_attempts=1)
    async with memory_backbone(handle_interceptors=[pass_on] if intercepted else []) as backbone:
        await pack(backbone, 0, 1)
        await run_to_the_end(backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, max_events=2, retry=once))
        assert await reasons(backbone) == {0: "rejected no", 1: "attempts-exhausted"}
