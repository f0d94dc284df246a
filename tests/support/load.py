"""Producers and two subscriptions that go on while servers fail, and what is to be said of it afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import count
from time import monotonic

from event_backbone import Backbone, Consumer, Context, RetryPolicy, Subscription
from event_backbone.errors import OutcomeUnknown, Reject
from event_backbone.model import EventKey, new_event_id
from tests.support.eventually import eventually
from tests.support.history import History, Stored, Verdict, judge
from tests.support.parcels import URI, Parcels

ENVIRONMENT = "test"
STREAM = f"{ENVIRONMENT}:{URI}"
FOLLOW_UPS = "follow-ups"
GROUPS = ("first", "second")
LEASE = timedelta(seconds=1)
PRODUCE_TIMEOUT = timedelta(seconds=4)
SETTLED_WITHIN_SECONDS = 30.0

_PRODUCERS = 6
_PAUSE_SECONDS = 0.005
_RETRY = RetryPolicy(max_attempts=100, backoff=timedelta(milliseconds=100))
_FAILS_AT_FIRST, _REJECTED, _FOLLOWED_UP = 10, 25, 5  # in the first group, every tenth event fails once, and so on


@dataclass
class Load:
    """Traffic that goes on until ``settle``. A producer awaits each call before the next, and repeats some in doubt."""

    backbone: Backbone
    history: History = field(default_factory=History)
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    first_handled_at: dict[int, float] = field(default_factory=dict[int, float])
    problems: list[str] = field(default_factory=list[str])
    _called_at: list[float] = field(default_factory=list[float])  # by number
    _numbers: count[int] = field(default_factory=count)
    _producing: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    _calm: bool = False

    def begin(self) -> None:
        """Begin to produce."""
        self._producing = [asyncio.create_task(self._produce(f"producer {each}")) for each in range(_PRODUCERS)]

    async def more(self, events: int = 100) -> None:
        """Return once so many more events were acknowledged, and one that was produced meanwhile has been handled."""
        since, before = monotonic(), len(self.history.acknowledged)

        def enough() -> bool:
            return len(self.history.acknowledged) >= before + events and self.recovered(since) is not None

        await eventually(enough, SETTLED_WITHIN_SECONDS)

    def recovered(self, since: float) -> float | None:
        """Return when the first event that was produced after ``since`` was handled; None is not yet."""
        handled = [at for number, at in self.first_handled_at.items() if self._called_at[number] > since]
        return min(handled, default=None)

    async def settle(self) -> Verdict:
        """Let every producer succeed once more, wait until both groups are idle, and judge what is in the stream."""
        self._calm = True
        async with asyncio.timeout(SETTLED_WITHIN_SECONDS):
            await asyncio.gather(*self._producing)
            for subscription in self.subscriptions:
                await subscription.until_idle()
        return await self.verdict()

    async def verdict(self) -> Verdict:
        """Judge what is in the stream, and in the archive if the backbone has one."""
        assert self.problems == []
        dead = {letter.key async for letter in self.backbone.dead_letters(URI, GROUPS[0]).list(None)}
        there = [Stored(each.key, each.metadata.event_id) async for each in self.backbone.reader(URI).scan()]
        return judge(self.history, there, finished=[each.event_id for each in there if each.key in dead])

    async def followed_up_twice(self) -> list[int]:
        """Return the numbers of events to which the first group has produced more than one follow-up."""
        numbers = [int(str(each.arguments["number"])) async for each in self.backbone.reader(FOLLOW_UPS).scan()]
        return [number for number, times in Counter(numbers).items() if times > 1]

    def end(self) -> None:
        """Stop producing, whatever becomes of the calls."""
        for task in self._producing:
            task.cancel()

    async def _produce(self, name: str) -> None:
        producer = self.backbone.producer(Parcels, uri=URI)
        told: object = None
        while not (self._calm and isinstance(told, EventKey)):
            number, event_id = next(self._numbers), new_event_id()
            self._called_at.append(monotonic())
            call = partial(producer.packed.using(event_id=event_id), number)
            told = await self.history.call(name, event_id, call)
            if told is OutcomeUnknown and number % 2:
                told = await self.history.call(name, event_id, call)
            await asyncio.sleep(_PAUSE_SECONDS)

    def consumer(self, group: str, backbone: Backbone) -> Consumer[Parcels, None]:
        """Return what handles this group's events; in the first group some fail, are rejected, or have follow-ups."""
        consumer, handled = Consumer(Parcels), self.history.handled[group]
        follow_up = backbone.producer(Parcels, uri=FOLLOW_UPS)

        @consumer.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            self.first_handled_at.setdefault(number, monotonic())
            if group == GROUPS[0]:
                if number % _FOLLOWED_UP == 0:
                    await follow_up.packed.using(once="parcel")(number)
                if number % _REJECTED == 0:
                    raise Reject("not this one")
                if number % _FAILS_AT_FIRST == 0 and ctx.attempt == 1:
                    raise LookupError
            handled[ctx.metadata.event_id] += 1

        return consumer


@asynccontextmanager
async def under_load(backbone: Backbone, *others: Backbone) -> AsyncGenerator[Load]:
    """Produce with one closed backbone, and subscribe to a group with each other one, for the time of the block."""
    async with AsyncExitStack() as stack:
        load = Load(await stack.enter_async_context(backbone))
        for group, other in zip(GROUPS, others, strict=True):
            consumer = load.consumer(group, await stack.enter_async_context(other))
            subscription = other.subscribe(consumer, uri=URI, group=group, lease=LEASE, retry=_RETRY)
            load.subscriptions.append(await stack.enter_async_context(subscription))
        load.begin()
        try:
            await load.more()
            yield load
        finally:
            load.end()
