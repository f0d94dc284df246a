"""What consumers of the predecessor of this system could rely on, by the numbers of its acceptance list."""

import asyncio
import signal
from collections import Counter
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, RetryPolicy
from event_backbone.testing.servers import S3Server
from tests.acceptance.deployment import ON_SERVERS, Deployment
from tests.support.eventually import eventually
from tests.support.parcels import (
    GROUP,
    URI,
    Parcels,
    Remembering,
    nothing_is_left,
    pack,
    run_to_the_end,
    stopped_within,
)
from tests.support.worker_process import worker

SHORT, LEASE = timedelta(milliseconds=200), timedelta(seconds=1)


def counting_targets(calls: Counter[tuple[str, int]], *names: str) -> Consumer[Parcels]:
    """Return a consumer with a handler for each name, which counts its calls."""
    consumer = Consumer(Parcels)

    def add(name: str) -> None:
        @consumer.on(Parcels.packed)
        async def handle(ctx: Context, number: int) -> None:
            calls[name, number] += 1

    for name in names:
        add(name)
    return consumer


async def test_item_3_every_target_of_a_subscription_receives_every_event(backbone: Backbone) -> None:
    """Item 3, and the first half of item 22."""
    calls: Counter[tuple[str, int]] = Counter()
    consumer = counting_targets(calls, "a", "b", "c")
    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    assert calls == {(name, number): 1 for name in "abc" for number in (1, 2)}


async def test_item_4_several_subscribers_with_several_targets_each(backbone: Backbone) -> None:
    """Items 4 and 22: each group gets every event once, for all of its targets."""
    calls: Counter[tuple[str, int]] = Counter()
    first, second = counting_targets(calls, "a", "b"), counting_targets(calls, "c", "d", "e")
    await pack(backbone, *range(5))
    await asyncio.gather(
        run_to_the_end(backbone.subscribe(first, uri=URI, group="first", max_events=5)),
        run_to_the_end(backbone.subscribe(second, uri=URI, group="second", max_events=5)),
    )
    assert calls == {(name, number): 1 for name in "abcde" for number in range(5)}


async def test_item_19_a_handler_ends_its_own_subscription(backbone: Backbone) -> None:
    """Item 19."""
    consumer, handled = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(number)
        subscription.stop()

    await pack(backbone, 1, 2)
    subscription = backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1)
    await run_to_the_end(subscription)
    assert handled == [1]


async def test_item_20_a_named_consumer_with_a_limit_of_two_events(backbone: Backbone) -> None:
    """Item 20: while it handles an event, the group's pending list shows its name."""
    consumer, handled, names = Consumer(Parcels), list[int](), set[str]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(number)
        names.update(each.consumer for each in await backbone.pending(URI, "mine") if each.consumer is not None)

    await pack(backbone, 1, 2, 3)
    await run_to_the_end(
        backbone.subscribe(consumer, uri=URI, group="mine", consumer_name="packer", concurrency=1, max_events=2)
    )
    assert handled == [1, 2]
    assert [name.rpartition("-")[0] for name in names] == ["packer"]


async def test_item_27_a_subscription_ends_when_its_group_has_nothing_left(backbone: Backbone) -> None:
    """Item 27: not while anything is unread, in flight or parked, and not before what handlers produce is handled."""
    consumer, numbers = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        numbers.append(number)
        if number == 2 and ctx.attempt == 1:
            raise LookupError
        if number == 3:
            await pack(backbone, 4)

    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, until="empty"))
    await pack(backbone, 1, 2, 3)
    retry = RetryPolicy(backoff=timedelta(milliseconds=200))
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, until="empty", retry=retry, prefetch=1))
    assert sorted(numbers) == [1, 2, 2, 3, 4]
    assert await nothing_is_left(backbone)


async def test_item_34_a_second_consumer_gets_what_a_stopped_one_left(backbone: Backbone) -> None:
    """Item 34: all of it, as the attempt it was."""
    stuck, begun = Consumer(Parcels), list[int]()

    @stuck.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        begun.append(number)
        await asyncio.Event().wait()

    await pack(backbone, *range(5))
    subscription = backbone.subscribe(stuck, uri=URI, group=GROUP, concurrency=5, drain=timedelta())
    async with stopped_within(subscription):
        await eventually(lambda: len(begun) == 5)
    heir = Remembering()
    await run_to_the_end(backbone.subscribe(heir.consumer, uri=URI, group=GROUP, lease=SHORT, max_events=5))
    assert (sorted(heir.numbers), set(heir.attempts)) == ([0, 1, 2, 3, 4], {1})


@ON_SERVERS
async def test_item_34_a_second_consumer_claims_what_a_killed_one_left(
    deployment: Deployment, backbone: Backbone, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Item 34: once the lease has run out, all of it, as the second attempt."""
    if deployment.s3 is not None:
        server: S3Server = request.getfixturevalue("s3_server")
        for name, value in server.environment(deployment.s3.bucket or "").items():
            monkeypatch.setenv(name, value)
    await pack(backbone, *range(5))
    assert deployment.redis is not None
    async with worker(deployment.redis, module="tests.acceptance.faulty_consumer") as faulty:
        await eventually(lambda: len(faulty.numbers("began")) == 5)
        faulty.send(signal.SIGKILL)
        await faulty.ended()
    heir = Remembering()
    await run_to_the_end(backbone.subscribe(heir.consumer, uri=URI, group=GROUP, lease=LEASE, max_events=5))
    assert (sorted(heir.numbers), set(heir.attempts)) == ([0, 1, 2, 3, 4], {2})
    assert await nothing_is_left(backbone)
