"""A server that is killed and started again under load, more than once."""

import asyncio
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Batch, Consumer, Context
from event_backbone.errors import NotSent, OutcomeUnknown
from event_backbone.model import EventKey
from event_backbone.testing.servers import RedisServer
from tests.support.batches import Gathering, number
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Remembering, group_state, stopped_within

PUBLISHERS = 100
EACH = 100


class Publishers:
    """A hundred callers that produce one number after the other; ``keys`` has what was acknowledged."""

    def __init__(self, backbone: Backbone) -> None:
        """Let them produce ten thousand events together."""
        self._producer = backbone.producer(Parcels, uri=URI)
        self.keys: dict[int, EventKey] = {}
        self.unsure: set[int] = set()

    async def run(self) -> None:
        """Produce everything."""
        await asyncio.gather(*(self._publish(caller) for caller in range(PUBLISHERS)))

    def have(self, count: int) -> bool:
        """Return whether this many events were acknowledged."""
        return len(self.keys) >= count

    async def _publish(self, caller: int) -> None:
        for turn in range(EACH):
            number = caller * EACH + turn
            try:
                self.keys[number] = await self._producer.packed(number)
            except (NotSent, OutcomeUnknown):
                self.unsure.add(number)


async def test_a_server_restarted_twice_keeps_every_acknowledged_event_once(own_redis: RedisServer) -> None:
    """Scenario 4, with appendfsync always: each is in the stream under its key, no number twice; all are handled.

    Killed, not stopped gracefully, when a quarter and when a half was acknowledged.
    """
    remembering = Remembering()
    timeout = timedelta(seconds=30)
    async with Backbone(own_redis.url, environment="test", produce_timeout=timeout) as backbone:
        publishers = Publishers(backbone)
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 100):
            publishing = asyncio.create_task(publishers.run())
            for part in (4, 2):
                await eventually(partial(publishers.have, PUBLISHERS * EACH // part), 30)
                await asyncio.to_thread(own_redis.kill)
                await asyncio.to_thread(own_redis.start)
            await publishing
            await eventually(lambda: set(remembering.numbers) >= set(publishers.keys), 30)
        stored = {event.key: event.arguments["number"] async for event in backbone.reader(URI).scan()}
    assert publishers.unsure == set()
    assert {number: stored.get(key) for number, key in publishers.keys.items()} == {n: n for n in publishers.keys}
    assert [number for number, times in Counter(stored.values()).items() if times > 1] == []


@pytest.mark.parametrize("most", [1, 100])
async def test_a_replay_waits_for_a_server_that_is_killed_meanwhile(own_redis: RedisServer, most: int) -> None:
    """It goes on where it was: each event once, in order; also in batches."""
    consumer, numbers, reached = Consumer(Parcels), list[int](), asyncio.Event()

    async def remember(number: int) -> None:
        numbers.append(number)
        reached.set()
        await asyncio.sleep(0)

    async def packed(ctx: Context, number: int) -> None:
        await remember(number)

    async def packed_together(batch: Batch[[int]]) -> None:
        assert len(batch) == most
        for each in batch:
            await each.call(remember)

    if most == 1:
        consumer.on(Parcels.packed)(packed)
    else:
        consumer.on_batch(Parcels.packed, most=most)(packed_together)

    async with Backbone(own_redis.url, environment="test") as backbone:
        producer = backbone.producer(Parcels, uri=URI)
        keys = await asyncio.gather(*(producer.packed(number) for number in range(2000)))
        replaying = asyncio.create_task(backbone.replay(consumer, URI, concurrency=1, rate=1000))
        await reached.wait()
        await asyncio.to_thread(own_redis.kill)
        await asyncio.to_thread(own_redis.start)
        report = await replaying
    assert numbers == [*range(2000)]
    assert report.next == keys[-1].successor()


async def test_batches_go_on_after_a_server_was_killed(own_redis: RedisServer) -> None:
    """While one runs: its acks are sent once the server is back; nothing fails, and no batch comes again."""
    gathering, reached, go_on = Gathering(most=50), asyncio.Event(), asyncio.Event()

    async def wait_in_the_third(batch: Batch[[int]]) -> None:
        assert {each.ctx.attempt for each in batch} == {1}
        if number(batch[0]) == 100:
            reached.set()
            await go_on.wait()

    gathering.act = wait_in_the_third
    async with Backbone(own_redis.url, environment="test") as backbone:
        producer = backbone.producer(Parcels, uri=URI)
        await asyncio.gather(*(producer.packed(number) for number in range(1000)))
        subscription = backbone.subscribe(gathering.consumer, uri=URI, group=GROUP, concurrency=1, until="empty")
        async with stopped_within(subscription, 60):
            await reached.wait()
            await asyncio.to_thread(own_redis.kill)
            go_on.set()
            await asyncio.to_thread(own_redis.start)
            await subscription.wait()
        assert (await group_state(backbone)).pending == 0
    assert gathering.numbers == [*range(1000)]
    assert [len(each) for each in gathering.batches] == [50] * 20
