"""Many consumers of one group at the same time: everything is shared, nothing is lost, nobody starves."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from time import monotonic

import pytest

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.metadata import StreamName
from event_backbone.settings import RedisSettings
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.values import NewEntry
from tests.conformance.stream_suite import new_entry
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, stopped_within

STREAM = StreamName.of(URI, "test")
CONSUMERS = 50
EVENTS = 5000


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone on an empty Redis."""
    async with Backbone(redis_url, environment="test") as opened:
        yield opened


@pytest.fixture
async def streams(redis_url: str) -> AsyncIterator[RedisStreams]:
    """Streams of the same server."""
    streams = RedisStreams(RedisConnection(RedisSettings.parse(redis_url)))
    yield streams
    await streams.close()


async def test_fifty_consumers_share_five_thousand_events(backbone: Backbone) -> None:
    """Scenario 2: each event is handled once, by one of them, and each of them gets some; afterwards none is left."""
    consumers = [Remembering() for _ in range(CONSUMERS)]
    producer = backbone.producer(Parcels, uri=URI)

    async def produce(first: int) -> None:
        for number in range(first, EVENTS, 10):
            await producer.packed(number)

    async with AsyncExitStack() as stack:
        for consumer in consumers:
            subscription = backbone.subscribe(consumer.consumer, uri=URI, group=GROUP)
            await stack.enter_async_context(stopped_within(subscription, 60))
        await asyncio.gather(*(produce(first) for first in range(10)))
        await eventually(lambda: sum(len(each.numbers) for each in consumers) >= EVENTS, 30)
    handled = Counter(number for each in consumers for number in each.numbers)
    assert handled == Counter(range(EVENTS))
    assert all(each.numbers for each in consumers)
    (state,) = await backbone.groups(URI)
    assert (state.consumers, state.pending, state.unread) == (0, 0, 0)


async def test_consumers_that_come_and_go_lose_and_repeat_nothing(backbone: Backbone) -> None:
    """Scenarios 7 and 8: while events come in, consumers stop and others start, ten at the same moment."""
    remembering = Remembering()
    producer = backbone.producer(Parcels, uri=URI)

    async def produce(first: int) -> None:
        for number in range(first, 1000, 4):
            await producer.packed(number)

    async def come_and_go() -> None:
        for _ in range(5):
            goal = min(len(remembering.numbers) + 40, 1000)
            async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 30):
                await eventually(lambda: len(remembering.numbers) >= goal)  # noqa: B023 - awaited within the turn

    await asyncio.gather(*(produce(first) for first in range(4)), *(come_and_go() for _ in range(10)))
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)):
        await eventually(lambda: len(remembering.numbers) >= 1000)
    assert Counter(remembering.numbers) == Counter(range(1000))
    assert set(remembering.attempts) == {1}


async def test_removing_consumers_never_drops_what_is_pending(streams: RedisStreams) -> None:
    """Scenario 47: a sweeper that takes everybody for crashed, at every moment of other consumers' reads and acks."""
    sweeper, done = streams.group_reader(STREAM, GROUP, "sweeper"), asyncio.Event()
    await sweeper.ensure("beginning")
    await streams.stream(STREAM).append([new_entry() for _ in range(250)])

    async def sweep() -> None:
        while not done.is_set():
            await sweeper.leave(timedelta(0))

    async def consume(name: str) -> int:
        reader, held = streams.group_reader(STREAM, GROUP, name), 0
        while deliveries := await reader.read(1, timedelta(0)):
            held += len(deliveries)
        return held

    sweeping = asyncio.create_task(sweep())
    held = await asyncio.gather(*(consume(f"consumer-{number}") for number in range(5)))
    done.set()
    await sweeping
    assert sum(held) == 250
    assert len(await streams.group_admin(STREAM, GROUP).pending(None, 1000)) == 250


async def test_a_stale_event_is_found_behind_thousands_that_others_hold(
    backbone: Backbone, streams: RedisStreams
) -> None:
    """Scenario 21: within one round of claims, although one call to the server looks at a thousand only."""
    busy, crashed = (streams.group_reader(STREAM, GROUP, name) for name in ("busy", "crashed"))
    await busy.ensure("beginning")
    for _ in range(20):
        await streams.stream(STREAM).append(_batch(250))
    await busy.read(5000, timedelta(0))
    await backbone.producer(Parcels, uri=URI).packed(7)
    (stale,) = await crashed.read(1, timedelta(0))
    connection = RedisConnection(backbone.redis.settings) if backbone.redis is not None else None
    assert connection is not None
    await connection.command(
        *("XCLAIM", STREAM.key, GROUP, "crashed", 0, stale.entry.key.entry_id, "IDLE", 600_000, "JUSTID")
    )
    await connection.close()
    remembering, begun = Remembering(), monotonic()
    lease = timedelta(seconds=60)
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, lease=lease)):
        await eventually(lambda: remembering.numbers == [7])
    assert monotonic() - begun < 10


def _batch(count: int) -> list[NewEntry]:
    return [new_entry() for _ in range(count)]
