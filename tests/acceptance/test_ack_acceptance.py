"""When events are acked and when they are delivered again, by the numbers of the acceptance list."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, Retry, RetryPolicy
from tests.acceptance.deployment import Deployment
from tests.support.parcels import GROUP, URI, Parcels, group_state, pack, run_to_the_end

AT_ONCE = RetryPolicy(backoff=timedelta())


async def has_settled_everything(backbone: Backbone) -> bool:
    """Return whether nothing is unread, pending or dead-lettered."""
    state = await group_state(backbone)
    return (state.unread, state.pending, state.dead_letters) == (0, 0, 0)


async def test_item_29_on_success_a_failing_event_comes_again_and_others_come_once(backbone: Backbone) -> None:
    """Item 29: four failures, then success."""
    consumer = Consumer(Parcels)
    calls: Counter[int] = Counter()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        calls[number] += 1
        if number == 2 and ctx.attempt < 5:
            raise OSError

    await pack(backbone, 1, 2, 3)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=3, retry=AT_ONCE))
    assert calls == {1: 1, 2: 5, 3: 1}
    assert await has_settled_everything(backbone)


@pytest.mark.parametrize("tries", [1, 4])
async def test_item_30_under_always_a_failed_event_does_not_come_again(deployment: Deployment, tries: int) -> None:
    """Item 30: however often an interceptor has called the handler; the next events are handled."""
    consumer = Consumer(Parcels)
    calls: Counter[int] = Counter()

    async def try_again(ctx: Context, call_next: Callable[[Context], Awaitable[None]]) -> None:
        for _ in range(tries - 1):
            with suppress(OSError):
                await call_next(ctx)
                return
        await call_next(ctx)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        calls[number] += 1
        if number == 1:
            raise OSError

    async with deployment.backbone(handle_interceptors=[try_again]) as backbone:
        await pack(backbone, 1, 2)
        await run_to_the_end(
            backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, ack="always", retry=AT_ONCE)
        )
        assert await has_settled_everything(backbone)
    assert calls == {1: tries, 2: 1}


async def test_item_31_under_manual_a_failed_event_comes_again_until_it_is_acked(backbone: Backbone) -> None:
    """Item 31."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise OSError
        await ctx.ack()

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, ack="manual", retry=AT_ONCE))
    assert attempts == [1, 2, 3]
    assert await has_settled_everything(backbone)


async def test_item_32_a_retried_event_counts_once_towards_the_limit(backbone: Backbone) -> None:
    """Item 32."""
    consumer, handled = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if number == 1 and ctx.attempt == 1:
            raise Retry(after=timedelta())
        handled.append(number)

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    assert sorted(handled) == [1, 2]
