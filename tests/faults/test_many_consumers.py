"""Many consumers of one group at the same time: everything is shared, nothing is lost, every consumer gets some."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.model import EventKey, StreamName
from event_backbone.stream.redis import RedisStreams
from tests.conformance.stream_suite import keys_of, lease_of, new_entry
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, stopped_within

STREAM = StreamName.of(URI, "test")
CONSUMERS = 50
EVENTS = 5000


async def test_fifty_consumers_share_five_thousand_events(backbone: Backbone) -> None:
    """Scenario 1: each event is handled once, by one of them, and each of them gets some; afterwards none is left."""
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
    """Scenarios 2 and 3: while events come in, consumers stop and others start, ten at the same moment."""
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


async def test_members_that_go_or_crash_never_take_what_is_pending_with_them(streams: RedisStreams) -> None:
    """Scenario 19: rows end and names are removed at every moment of others' reads and acks; nothing gets lost."""
    lease, keys, acked = timedelta(milliseconds=20), set[EventKey](), list[EventKey]()
    first = streams.group_reader(STREAM, GROUP, "first")
    await first.ensure("beginning")
    keys.update(keys_of(await streams.stream(STREAM).append([new_entry() for _ in range(250)])))

    async def consume(name: str) -> None:
        reader, leases = streams.group_reader(STREAM, GROUP, name), streams.group_leases(STREAM, GROUP, name)
        while len(acked) < len(keys):
            read = await reader.read(10, timedelta(0))
            taken = (await reader.look(lease, 20)).deliveries
            ending = [lease_of(each) for each in (*read, *taken)]
            lost = await leases.ack(ending[::2])
            acked.extend(each.key for each in ending[::2] if each.key not in lost)
            if len(ending) % 3 == 0:
                await reader.leave()

    async with asyncio.timeout(60):
        await asyncio.gather(*(consume(f"member-{number}") for number in range(5)))
    assert sorted(acked) == sorted(keys)
    assert list(await streams.group_admin(STREAM, GROUP).pending(None, 1000)) == []
