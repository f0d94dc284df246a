"""Memory is bounded by bytes, however many events are read ahead and however large they are."""

import asyncio
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, Contract, Retry, event
from event_backbone.errors import StorageUnavailable
from event_backbone.model import PayloadReference, SavedPayload
from event_backbone.storage import MemoryStorage, RedisHashStorage, StorageScope
from event_backbone.storage.base import OnPayloads
from event_backbone.stream.base import Streams
from event_backbone.subscription.payload_memory import PayloadMemory
from event_backbone.testing import memory_backbone
from event_backbone.wire import Record
from tests.support.crashes import crash
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, group_state, nothing_is_left, run_to_the_end, stopped_within

URI = "parcels"
SIZE = 1000
OVERSIZE = 10 * SIZE


class Files(Contract):
    """Events of any size."""

    @event
    def stored(self, content: str) -> None:
        """A file is stored."""


class Measured(MemoryStorage):
    """Notes how many bytes of payloads are being saved, or were loaded and are not finished with; may fail at first."""

    def __init__(self, *failures: StorageUnavailable) -> None:
        """Begin with nothing; the first calls fail."""
        super().__init__()
        self.bytes_now = 0
        self.most_bytes = 0
        self.beside_the_largest = 0
        self.largest = False
        self.failures = list(failures)

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Save it, which takes some turns of the event loop."""
        self.begin([record.size_bytes])
        for _ in range(3):
            await asyncio.sleep(0)
        self.finished(record.size_bytes)
        return await super().save(scope, record)

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Load what is there."""
        if self.failures:
            failure = self.failures.pop()
            on_payloads((position, failure) for position in range(len(references)))
            return
        self.begin([len((self._payloads[self.location(scope, each)] or {})["content"]) for each in references])
        await super().load(scope, references, on_payloads)

    def begin(self, sizes: Sequence[int]) -> None:
        """Note payloads that are in memory from now on."""
        if max(sizes) > OVERSIZE:
            self.beside_the_largest += self.bytes_now + sum(sizes) - max(sizes)
            self.largest = True
        else:
            self.beside_the_largest += sum(sizes) if self.largest else 0
            self.bytes_now += sum(sizes)
            self.most_bytes = max(self.most_bytes, self.bytes_now)

    def finished(self, size: int) -> None:
        """Note that one of them was finished with."""
        if size > OVERSIZE:
            self.largest = False
        else:
            self.bytes_now -= size


async def store(backbone: Backbone, *sizes: int) -> None:
    """Produce events of these sizes, in order."""
    producer = backbone.producer(Files, uri=URI)
    for number, size in enumerate(sizes):
        await producer.stored(f"{number} ".ljust(size, "x"))


async def test_produce_calls_wait_for_capacity_in_bytes(redis_url: str) -> None:
    """However many calls there are at once; a larger payload is saved alone, and none is lost."""
    storage = Measured()
    async with Backbone(redis_url, storage=storage, environment="test", queue_bytes=4 * (SIZE + 2)) as backbone:
        producer = backbone.producer(Files, uri=URI)
        sizes = [*[SIZE] * 20, OVERSIZE, *[SIZE] * 19]
        keys = await asyncio.gather(*(producer.stored("x" * size) for size in sizes))
    assert len(set(keys)) == len(sizes)
    assert (storage.most_bytes, storage.beside_the_largest) == (4 * (SIZE + 2), 0)


@dataclass
class Counted:
    """An event in flight, or not any more."""

    active: bool = True
    loaded_bytes: int = 0


async def test_events_that_are_no_longer_in_flight_take_no_memory() -> None:
    """Also if they were waited for: what comes after them is then looked at."""
    memory, waits = PayloadMemory(10, lambda: 0), Counted()
    assert memory.try_take([Counted()], [4])
    taking = asyncio.create_task(memory.take([waits, Counted()], [8, 6]))
    await asyncio.sleep(0)
    assert not taking.done()
    waits.active = False
    memory.release(0)
    assert await taking == 2
    memory.release(10)
    assert await memory.take([Counted()], [1000]) == 1


@pytest.mark.parametrize(("concurrency", "failures"), [(1, []), (8, [StorageUnavailable("not now")])])
async def test_payloads_in_memory_are_bounded_by_their_bytes(
    concurrency: int, failures: list[StorageUnavailable]
) -> None:
    """Also while events are retried or their storage does not answer; one that is larger is loaded alone.

    One by one they keep their order, except for the retry.
    """
    storage, consumer, order = Measured(*failures), Consumer(Files), list[int]()

    @consumer.on(Files.stored)
    async def stored(ctx: Context, content: str) -> None:
        number = int(content.split(maxsplit=1)[0])
        order.append(number)
        if number == 7:
            await ctx.ack()  # its payload counts until the handler ends
        for _ in range(3):
            await asyncio.sleep(0)
        storage.finished(len(content) + len('""'))
        if number == 5 and ctx.attempt == 1:
            raise Retry(timedelta(0))

    async with memory_backbone(storage=storage) as backbone:
        await store(backbone, *[SIZE] * 20, OVERSIZE, *[SIZE] * 19)
        subscription = backbone.subscribe(
            consumer, uri=URI, group=GROUP, max_events=40, concurrency=concurrency, prefetch_bytes=4 * (SIZE + 2)
        )
        await run_to_the_end(subscription)
    assert (storage.most_bytes, storage.beside_the_largest) == (4 * (SIZE + 2), 0)
    assert sorted(order) == sorted([*range(40), 5])
    if concurrency == 1:
        assert list(dict.fromkeys(order)) == list(range(40))


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_with_memory_for_one_payload_everything_is_handled(
    redis_url: str, streams: Streams, concurrency: int
) -> None:
    """Suspects that run alone, inline payloads, large ones and empty ones: none waits for another forever."""
    storage, numbers = RedisHashStorage(inline_up_to_bytes=SIZE), list[int]()
    consumer = Consumer(Files)

    @consumer.on(Files.stored)
    async def stored(ctx: Context, content: str) -> None:
        numbers.append(int(content.split(maxsplit=1)[0]))
        await asyncio.sleep(0)

    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        await store(backbone, OVERSIZE, 10)
        await crash(streams, 3)
        await store(backbone, OVERSIZE, *[10, OVERSIZE, SIZE] * 5)
        lease = timedelta(milliseconds=200)
        subscription = backbone.subscribe(
            consumer, uri=URI, group=GROUP, concurrency=concurrency, prefetch_bytes=1, lease=lease
        )
        async with stopped_within(subscription):
            await eventually(lambda: nothing_is_left(backbone))
    assert sorted(numbers) == sorted([0, 1, *range(16)])


async def test_a_stop_does_not_wait_for_memory() -> None:
    """What waits to be loaded goes back to the group, and so does what was loaded and has not begun."""
    consumer, began = Consumer(Files), asyncio.Event()

    @consumer.on(Files.stored)
    async def stored(ctx: Context, content: str) -> None:
        began.set()
        await asyncio.Event().wait()

    async with memory_backbone() as backbone:
        await store(backbone, *[SIZE] * 5)
        subscription = backbone.subscribe(
            consumer, uri=URI, group=GROUP, concurrency=2, drain=timedelta(0), prefetch_bytes=3 * SIZE
        )
        async with stopped_within(subscription, 5):
            await began.wait()
        state = await group_state(backbone)
        assert state.pending == state.parked >= 3


async def test_a_consumer_of_large_events_stays_small(redis_url: str) -> None:
    """It allocates a few times the bound at most, and not what is in flight: forty mebibytes."""
    consumer, mebibyte = Consumer(Files), 1024 * 1024

    @consumer.on(Files.stored)
    async def stored(ctx: Context, content: str) -> None:
        await asyncio.sleep(0)

    async with Backbone(redis_url, environment="test") as backbone:
        await store(backbone, *[2 * mebibyte] * 20)
        tracemalloc.start()
        try:
            await run_to_the_end(
                backbone.subscribe(
                    consumer, uri=URI, group=GROUP, max_events=20, concurrency=40, prefetch_bytes=4 * mebibyte
                )
            )
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 16 * mebibyte
