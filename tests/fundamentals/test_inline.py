"""Payloads in stream entries: produced, consumed, read, dead-lettered and erased like any other, on a real Redis."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import (
    Backbone,
    Consumer,
    Context,
    Contract,
    EventNotFound,
    PayloadErased,
    Reject,
    Retry,
    StoredEvent,
    event,
)
from event_backbone.storage import RedisHashStorage
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import (
    GROUP,
    URI,
    Parcels,
    Remembering,
    Stuck,
    nothing_is_left,
    pack,
    run_to_the_end,
    stopped_within,
)

STREAM = "test:parcels"
LARGE = "x" * 100


class Notes(Contract):
    """Events whose payloads are small, large or empty."""

    @event
    def written(self, text: str = "") -> None:
        """Somebody wrote a note."""

    @event
    def closed(self) -> None:
        """No more notes."""


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone whose small payloads are inline."""
    async with Backbone(redis_url, storage=RedisHashStorage(inline_up_to_bytes=64), environment="test") as opened:
        yield opened


async def test_small_payloads_are_in_their_entries_and_large_ones_beside_them(backbone: Backbone, redis: Redis) -> None:
    """Handlers, readers and followers see no difference; people are told where each is."""
    notes = backbone.producer(Notes, uri="notes")
    keys = [await notes.written("short"), await notes.written(LARGE), await notes.closed()]
    assert await redis.keys("{test:notes}:payload:*") == [
        f"{{test:notes}}:payload:{(await backbone.reader('notes').get(keys[1])).metadata.event_id}".encode()
    ]
    handled, consumer = list[object](), Consumer(Notes)

    @consumer.on(Notes.written)
    async def written(ctx: Context, text: str = "") -> None:
        handled.append((ctx.metadata.size_bytes, text))

    @consumer.fallback
    async def rest(ctx: Context, event: StoredEvent) -> None:
        handled.append(event.arguments)

    await run_to_the_end(backbone.subscribe(consumer, uri="notes", group=GROUP, max_events=3, concurrency=1))
    assert handled == [(7, "short"), (102, LARGE), {}]
    found = [each async for each in backbone.reader("notes").scan()]
    assert [(each.key, each.payload, each.arguments) for each in found] == [
        (keys[0], "present", {"text": "short"}),
        (keys[1], "present", {"text": LARGE}),
        (keys[2], "present", {}),
    ]
    assert backbone.location(found[0]) == [f"in the entry {keys[0]} of stream test:notes"]
    assert backbone.location(found[1]) == [f"{{test:notes}}:payload:{found[1].metadata.event_id}"]


async def test_an_event_is_retried_with_its_inline_payload(backbone: Backbone) -> None:
    """As it is in the entry."""
    consumer, seen = Consumer(Parcels), list[tuple[int, int]]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        seen.append((ctx.attempt, number))
        if ctx.attempt == 1:
            raise Retry(timedelta(0))

    await pack(backbone, 7)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert seen == [(1, 7), (2, 7)]


async def test_erasing_an_inline_event_deletes_its_entry(backbone: Backbone) -> None:
    """Nobody finds it any more, and the sentence says why; erasing it again is fine, and others stay."""
    producer, reader = backbone.producer(Parcels, uri=URI), backbone.reader(URI)
    keys = [await producer.packed(number) for number in range(3)]
    await backbone.erase(URI, keys[1])
    await backbone.erase(URI, keys[1])
    with pytest.raises(EventNotFound, match=rf"test:parcels has no event {keys[1]} any longer: it was erased"):
        await reader.get(keys[1])
    assert [each.key async for each in reader.scan()] == [keys[0], keys[2]]
    remembering = Remembering()
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=2))
    assert sorted(remembering.numbers) == [0, 2]


async def test_an_inline_event_that_is_erased_while_its_handler_runs_is_finished(backbone: Backbone) -> None:
    """The handler has its arguments; what it wanted again is not called any more, and is not taken for lost."""
    metrics, stuck, consumer = CountedMetrics(), Stuck(), Consumer(Parcels)
    producer = backbone.producer(Parcels, uri=URI)
    finished, again = await producer.packed(1), await producer.sent(2, "ada@example.com")

    @consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        await stuck.packed(ctx, number)
        raise Retry(timedelta(0))

    consumer.on(Parcels.packed)(stuck.packed)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: len(stuck.numbers) == 2)
        await backbone.erase(URI, finished)
        await backbone.erase(URI, again)
        stuck.release.set()
        await eventually(lambda: nothing_is_left(backbone))
        assert (sorted(stuck.numbers), subscription.handled) == ([1, 2], 1)
    assert metrics.count("event_backbone.skipped", reason="erased", group=GROUP) == 1
    assert metrics.count("event_backbone.vanished") == 0


async def test_a_dead_letter_of_an_inline_event_that_was_erased_before_says_so(backbone: Backbone) -> None:
    """Erased by its handler, in its last attempt: nothing of the event is left, and that is on purpose."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        await backbone.erase(URI, ctx.metadata.key)
        raise Reject("too late")

    await pack(backbone, 7)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    letters = backbone.dead_letters(URI, GROUP)
    (letter,) = [each async for each in letters.list()]
    with pytest.raises(PayloadErased):
        await letters.load(letter)


async def test_dead_letters_of_inline_events_hold_no_payload(backbone: Backbone, redis: Redis) -> None:
    """It is read from the entry, and after an erase nothing of it is left; then the dead letter says erased."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        raise Reject("no")

    producer, letters = backbone.producer(Parcels, uri=URI), backbone.dead_letters(URI, GROUP)
    keys = [await producer.sent(number, "ada@example.com") for number in range(3)]
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=3, concurrency=1))
    assert "ada@" not in str(await redis.xrange(f"{{{STREAM}}}:dead:{GROUP}"))
    erased, trimmed, kept = [each async for each in letters.list()]
    assert (await letters.load(erased)).arguments == {"number": 0, "email": "ada@example.com"}
    await backbone.erase(URI, keys[0])
    await redis.xdel(STREAM, trimmed.key.entry_id)
    assert [(await letters.load(each)).payload for each in (erased, trimmed, kept)] == ["erased", "gone", "present"]
    with pytest.raises(PayloadErased):
        _ = (await letters.load(erased)).arguments
    assert (await letters.redrive_all(keys=keys)).not_found == (keys[0], keys[1])
    assert await letters.discard_all(erased=True) == 1
    assert [each.key async for each in letters.list()] == [trimmed.key]
