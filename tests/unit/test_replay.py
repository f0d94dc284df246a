"""What a replay does where it is hard to see from outside: memory, spans, entries and payloads that cannot be read."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import (
    Backbone,
    Consumer,
    Context,
    EventKey,
    LeaseLost,
    PayloadForbidden,
    ReplayStopped,
    RetryPolicy,
    StorageError,
)
from event_backbone.model import Payload, PayloadReference
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.storage.base import OnPayloads
from event_backbone.testing import memory_backbone
from tests.support.letters import URI as LETTERS
from tests.support.letters import Letters, add_entry, consumer_of, send
from tests.support.parcels import URI, Parcels, pack
from tests.support.spans import CollectedSpans

MIB = 1024 * 1024


class Counting(MemoryStorage):
    """Counts the payloads that were loaded; refuses those that a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = 0
        self.forbidden: set[int] = set()

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load."""

        def load(results: Iterable[tuple[int, Payload | StorageError]]) -> None:
            for position, payload in results:
                refused = self.loaded in self.forbidden
                self.loaded += 1
                on_payloads([(position, PayloadForbidden("403") if refused else payload)])

        await super().load(scope, references, load)


async def test_payloads_in_memory_are_bounded() -> None:
    """However many events wait: no more are loaded than 64 MiB, those that are being handled included."""
    storage, handled, most = Counting(), 0, 0
    async with memory_backbone(storage) as backbone:
        producer, consumer = backbone.producer(Letters, uri=LETTERS), Consumer(Letters)
        for number in range(30):
            await producer.sent(number, "x" * 8 * MIB)

        @consumer.on(Letters.sent)
        async def sent(ctx: Context, number: int, email: str | None = None) -> None:
            nonlocal handled, most
            for _ in range(20):
                await asyncio.sleep(0)
            most = max(most, storage.loaded - handled)
            handled += 1

        await backbone.replay(consumer, LETTERS, concurrency=2)
    assert handled == 30
    assert most <= 8


async def test_a_payload_that_is_refused_stops_a_replay() -> None:
    """As permissions can be corrected; otherwise it counts as gone, like one that is missing."""
    storage = Counting()
    async with memory_backbone(storage) as backbone:
        keys = await send(backbone, *range(3))
        storage.forbidden = {1, 4}
        numbers = list[int]()
        with pytest.raises(ReplayStopped, match=r"payload-gone, .*PayloadForbidden") as stopped:
            await backbone.replay(consumer_of(numbers), LETTERS, concurrency=1)
        assert (numbers, stopped.value.next) == ([0], str(keys[1]))
        report = await backbone.replay(consumer_of(numbers), LETTERS, on_failure="continue")
        assert (report.failed, report.failures[0].key) == ({"payload-gone": 1}, keys[1])


async def test_what_cannot_be_read_is_counted_in_its_place(redis_url: str, redis: Redis) -> None:
    """An entry of another program, and arguments that do not fit; neither stops a replay."""
    async with Backbone(redis_url, environment="test") as backbone:
        (first,) = await send(backbone, 0)
        await add_entry(redis, entry_id=first.successor().entry_id, note="not ours")
        (last,) = await send(backbone, 1)
        for dry_run in (True, False):
            report = await backbone.replay(consumer_of([]), LETTERS, dry_run=dry_run)
            assert (report.handled, report.failed) == ({"sent": 2}, {"undecodable": 1})
            assert (report.failures[0].key, report.next) == (first.successor(), last.successor())


async def test_a_task_that_outlives_its_event_produces_nothing_once() -> None:
    """Like one that has lost its lease: the event is done with, and nothing is kept of it any more."""
    async with memory_backbone() as backbone:
        await pack(backbone, 1)
        producer, consumer = backbone.producer(Parcels, uri="sent"), Consumer(Parcels)
        left = list[asyncio.Task[EventKey]]()
        done = asyncio.Event()

        async def later() -> EventKey:
            await done.wait()
            return await producer.sent.using(once="late")(1, "ada@example.com")

        @consumer.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            left.append(asyncio.create_task(later()))

        await backbone.replay(consumer, URI)
        done.set()
        with pytest.raises(LeaseLost):
            await left[0]


async def test_attempts_are_traced_apart_from_what_produced_their_event() -> None:
    """A trace of last year gets no new spans; there is no group to name."""
    collected = CollectedSpans()
    async with memory_backbone() as backbone:
        await pack(backbone, 1)
        consumer = Consumer(Parcels)

        @consumer.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            if ctx.attempt == 1:
                raise ValueError

        await backbone.replay(consumer, URI, retry=RetryPolicy(max_attempts=2, backoff=timedelta()))
    produced = collected.one("produce packed").get_span_context()
    assert produced is not None
    for attempt, span in enumerate(collected.named("handle packed"), 1):
        assert (span.parent, [link.context.span_id for link in span.links]) == (None, [produced.span_id])
        assert span.attributes is not None
        assert span.attributes["event_backbone.attempt"] == attempt
        assert "messaging.consumer.group.name" not in span.attributes
