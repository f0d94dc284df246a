"""One consumer of several URIs: what the subscriptions share, and what they do not hold up."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone import Backbone, ConfigurationError, Consumer, Context, Worker
from tests.support.batches import Gathering
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, Parcels, Remembering

URIS = ["north", "south", "west"]


class Counting:
    """Handles an event in three turns of the event loop; ``most`` ran at once, ``uris`` says whose began, in order."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.uris: list[str] = []
        self.attempts: list[int] = []
        self.go = asyncio.Event()
        self.go.set()
        self.consumer = Consumer(Parcels)
        self.consumer.on(Parcels.packed)(self.packed)

    async def packed(self, ctx: Context, number: int) -> None:
        """Count, and let others run."""
        await self.go.wait()
        self.uris.append(ctx.metadata.uri)
        self.attempts.append(ctx.attempt)
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(3):
            await asyncio.sleep(0)
        self.running -= 1


async def fill(backbone: Backbone, each: int, uris: list[str] = URIS) -> None:
    """Produce so many events to each URI."""
    for uri in uris:
        producer = backbone.producer(Parcels, uri=uri)
        for number in range(each):
            await producer.packed(number)


async def run(worker: Worker) -> None:
    """Run to the end."""
    async with asyncio.timeout(20), worker:
        await worker.wait()


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_concurrency_and_max_events_are_shared(backbone: Backbone, concurrency: int) -> None:
    """So many handlers run over all URIs, one with ``concurrency=1``; not one event more is handled, or counted."""
    counting = Counting()
    await fill(backbone, 20)
    worker = backbone.subscribe(counting.consumer, uri=URIS, group=GROUP, concurrency=concurrency, max_events=50)
    await run(worker)
    assert (len(counting.uris), counting.most) == (50, concurrency)
    assert [each.uri for each in worker.subscriptions] == URIS
    await run(backbone.subscribe(counting.consumer, uri=URIS, group=GROUP, max_events=10))
    assert counting.attempts == [1] * 60


async def test_a_limit_is_reached_also_where_only_one_uri_has_events(backbone: Backbone) -> None:
    """What an idle one might have taken goes to the others."""
    counting = Counting()
    await fill(backbone, 10, ["south"])
    await run(backbone.subscribe(counting.consumer, uri=URIS, group=GROUP, max_events=7))
    assert counting.uris == ["south"] * 7


async def test_a_backlog_of_one_uri_lets_the_others_have_their_turn(backbone: Backbone) -> None:
    """Whoever waits for a handler to end is served in turn."""
    counting = Counting()
    counting.go.clear()
    await fill(backbone, 60, ["north"])
    await fill(backbone, 20, ["south"])
    worker = backbone.subscribe(counting.consumer, uri=["north", "south"], group=GROUP, concurrency=2)
    async with asyncio.timeout(20), worker:
        await eventually(lambda: all(each.in_flight > 2 for each in worker.subscriptions))
        counting.go.set()
        await worker.until_idle()
    assert counting.uris[:60].count("south") >= 15


async def test_a_uri_whose_handlers_are_stuck_leaves_the_rest_to_others(backbone: Backbone) -> None:
    """As long as a handler may still run; a stop then ends them all."""
    consumer, release, handled = Consumer(Parcels), asyncio.Event(), list[str]()

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        if ctx.metadata.uri == "north":
            await release.wait()
        handled.append(ctx.metadata.uri)

    await fill(backbone, 1, ["north"])
    await fill(backbone, 50, ["south"])
    worker = backbone.subscribe(consumer, uri=("north", "south"), group=GROUP, concurrency=2)
    async with asyncio.timeout(20), worker:
        await eventually(lambda: len(handled) == 50)
        release.set()
        await eventually(lambda: len(handled) == 51)
        worker.stop(timedelta())


async def test_a_limit_that_is_shared_counts_the_events_of_batches(backbone: Backbone) -> None:
    """The last batch has only so many as are left."""
    gathering = Gathering(most=4)
    await fill(backbone, 20)
    await run(backbone.subscribe(gathering.consumer, uri=URIS, group=GROUP, concurrency=1, max_events=7))
    assert len(gathering.numbers) == 7


async def test_workers_may_be_parts_of_a_worker(backbone: Backbone) -> None:
    """So what subscribes to several URIs runs beside other subscriptions, and all end together, once empty."""
    first, second = Remembering(), Remembering()
    await fill(backbone, 2)
    both = Worker(
        backbone.subscribe(first.consumer, uri=["north", "south"], group=GROUP, until="empty"),
        backbone.subscribe(second.consumer, uri="west", group=GROUP, until="empty"),
    )
    await run(both)
    assert (len(first.numbers), len(second.numbers), len(both.subscriptions)) == (4, 2, 3)


@pytest.mark.parametrize("uri", [[], ["north", "south", "north"]])
async def test_uris_are_at_least_one_and_all_different(backbone: Backbone, uri: list[str]) -> None:
    """Else nobody knows what was meant."""
    with pytest.raises(ConfigurationError, match="one URI, or a list of different ones"):
        backbone.subscribe(Remembering().consumer, uri=uri, group=GROUP)
