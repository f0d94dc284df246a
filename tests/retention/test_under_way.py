"""Retention while everything else goes on: claims, retries, dead letters, redrives, erasing and readers."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import cast

import pytest

from event_backbone import (
    Backbone,
    Consumer,
    Context,
    EventKey,
    EventNotFound,
    PayloadGone,
    Reject,
    Retry,
    Subscription,
)
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import URI, Parcels
from tests.support.retention import Retained, Rounds

EVENTS = 600
GROUPS = ("quick", "slow", "failing")


class Storm:
    """Three groups that handle events as differently as groups do, one of them with members that crash."""

    def __init__(self, retained: Retained, seed: int) -> None:
        self.retained = retained
        self.backbone = retained.backbone
        self.random = random.Random(seed)
        self.handled: dict[str, Counter[int]] = {group: Counter() for group in GROUPS}
        self.produced: dict[int, EventKey] = {}
        self.erased: set[int] = set()
        self.ended = asyncio.Event()

    def consumer(self, group: str) -> Consumer[Parcels]:
        """Return the handler of a group."""
        consumer = Consumer(Parcels)

        @consumer.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            if group == "slow":
                await asyncio.sleep(0.01 * self.random.random())
            if group == "failing" and not self.ended.is_set():
                if number % 7 == 0:
                    raise Reject("divisible")
                if number % 3 == 0 and ctx.attempt == 1:
                    raise Retry(after=timedelta(milliseconds=self.random.randrange(300)))
            self.handled[group][number] += 1

        return consumer

    def subscribe(self, group: str) -> Subscription:
        """Subscribe a member with a short lease."""
        lease = timedelta(seconds=1)
        return self.backbone.subscribe(self.consumer(group), uri=URI, group=group, lease=lease, prefetch=20)

    async def produce(self) -> None:
        """Produce all events, a few at a time."""
        producer = self.backbone.producer(Parcels, uri=URI)
        for first in range(0, EVENTS, 10):
            keys = await asyncio.gather(*(producer.packed(first + n) for n in range(10)))
            self.produced.update(enumerate(keys, first))
            await asyncio.sleep(0.01)

    async def retain(self, loop: Rounds) -> None:
        """Carry out one round after the other."""
        while not self.ended.is_set():
            await loop.round()
            await asyncio.sleep(0.005)

    async def crash(self) -> None:
        """Take events for a member that is never heard of again."""
        for n in range(20):
            with suppress(Exception):
                call = ("GROUP", "slow", f"crashed-{n}", "COUNT", 5, "STREAMS", self.retained.name.key, ">")
                await self.retained.connection.command("XREADGROUP", *call)
            await asyncio.sleep(0.05)

    async def redrive(self) -> None:
        """Redrive and discard dead letters."""
        letters = self.backbone.dead_letters(URI, "failing")
        while not self.ended.is_set():
            async for each in letters.list(5):
                await (letters.redrive(each.id) if self.random.random() < 0.7 else letters.discard(each.id))
            await asyncio.sleep(0.05)

    async def erase(self) -> None:
        """Erase some payloads, whether or not their events are still there."""
        while not self.ended.is_set():
            for number in self.random.sample(sorted(self.produced), min(3, len(self.produced))):
                self.erased.add(number)
                with suppress(EventNotFound, PayloadGone):
                    await self.backbone.erase(URI, self.produced[number])
            await asyncio.sleep(0.03)

    async def read(self) -> None:
        """Scan from the beginning, again and again: no event of a living group is without its payload."""
        while not self.ended.is_set():
            async for event in self.backbone.reader(URI).scan():
                assert event.has_arguments or event.payload == "erased"
            await asyncio.sleep(0.02)

    @property
    def done(self) -> bool:
        """Whether every group has handled all that it can."""
        expected = set(range(EVENTS)) - self.erased
        quick, slow, failing = (self.handled[group].keys() for group in GROUPS)
        return expected <= quick and expected <= slow and {n for n in expected if n % 7} <= failing


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_a_living_group_needs_is_removed(
    retained: Retained, counted: CountedMetrics, seed: int
) -> None:
    """Whatever happens at the same moment; and in the end nothing is left over."""
    storm = Storm(retained, seed)
    for group in GROUPS:
        await retained.set_group(group=group)
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        for group in GROUPS:
            await stack.enter_async_context(storm.subscribe(group))
        work = [storm.produce, storm.crash, storm.redrive, storm.erase, storm.read]
        async with asyncio.TaskGroup() as tasks:
            for each in work:
                tasks.create_task(each())
            tasks.create_task(storm.retain(retained.loop()))
            await eventually(lambda: len(storm.produced) == EVENTS and storm.done, within_seconds=40)
            storm.ended.set()
        await storm.backbone.dead_letters(URI, "failing").redrive_all()
        await eventually(lambda: _is_finished(storm.backbone), within_seconds=20)
        await retained.carry_out()
    assert await retained.left() == []
    # Erased and removed at the same moment: a tombstone is left until it is swept.
    keys = cast("list[bytes]", await retained.connection.command("KEYS", retained.name.key_of("payload:*")))
    assert all([await retained.connection.command("HKEYS", key) == [b"_erased"] for key in keys])
    for metric in ("vanished", "cut"):
        assert counted.count(f"event_backbone.{metric}", uri=URI) == 0
    assert counted.count("event_backbone.dead_lettered", uri=URI, reason="payload-gone") == 0


async def _is_finished(backbone: Backbone) -> bool:
    return all(not each.pending and each.unread == 0 for each in await backbone.groups(URI))
