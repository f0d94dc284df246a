"""The morning after: which events a group gave up on, and what becomes of them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from event_backbone import (
    Backbone,
    Consumer,
    Context,
    DeadEvent,
    DeadLetterFilters,
    DeadLetters,
    EventKey,
    EventNotFound,
    Reject,
    RetryPolicy,
)
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, group_state, pack, run_to_the_end, stopped_within

NEVER_AGAIN = RetryPolicy(max_attempts=1)
HOUR = timedelta(hours=1)


async def a_bad_night(backbone: Backbone) -> DeadLetters:
    """Let six events fail, in this order: packed 0 to 3, the odd ones rejected, and sent 4 and 5."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        if number % 2:
            raise Reject("odd")
        raise OSError

    @consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        raise LookupError(email)

    await pack(backbone, *range(4))
    for number in (4, 5):
        await backbone.producer(Parcels, uri=URI).sent(number, "ada@example.com")
    await run_to_the_end(
        backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=6, retry=NEVER_AGAIN, concurrency=1)
    )
    return backbone.dead_letters(URI, GROUP)


async def listed(letters: DeadLetters, filters: DeadLetterFilters | None = None) -> list[DeadEvent]:
    """Return all dead letters, or those that are meant."""
    return [each async for each in letters.list(None, **(filters or {}))]


async def numbers(backbone: Backbone, letters: Sequence[DeadEvent]) -> list[object]:
    """Return the argument that tells the events apart."""
    return [(await backbone.reader(URI).get(each.key)).arguments["number"] for each in letters]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"reason": "rejected"}, [1, 3]),
        ({"event": "sent"}, [4, 5]),
        ({"error": "OSError"}, [0, 2]),
        ({"error": "builtins.LookupError"}, [4, 5]),
        ({"event": "packed", "reason": "attempts-exhausted"}, [0, 2]),
        ({"newer_than": HOUR}, [0, 1, 2, 3, 4, 5]),
        ({"older_than": HOUR}, []),
    ],
    ids=str,
)
async def test_list_counts_redrive_and_discard_mean_the_same_dead_letters(
    backbone: Backbone, filters: DeadLetterFilters, expected: list[int]
) -> None:
    """Whatever the filter; a dry run changes nothing."""
    letters = await a_bad_night(backbone)
    assert await numbers(backbone, await listed(letters, filters)) == expected
    assert sum(each.dead_letters for each in await letters.counts(**filters)) == len(expected)
    assert (await letters.redrive_all(dry_run=True, **filters)).events == len(expected)
    assert await letters.discard_all(dry_run=True, **filters) == len(expected)
    assert len(await listed(letters)) == 6
    assert (await letters.redrive_all(**filters)).events == len(expected)
    assert [each.key for each in await listed(letters, filters)] == []
    assert (await group_state(backbone)).parked == len(expected)
    assert await letters.discard_all() == 6 - len(expected)


async def test_counts_say_what_failed_and_how_often(backbone: Backbone) -> None:
    """By reason, event and error, the most frequent first, with the first and the last time."""
    letters = await a_bad_night(backbone)
    await letters.discard((await listed(letters))[3].id)
    counts = await letters.counts()
    kinds = {(each.reason, each.event, each.error): each.dead_letters for each in counts}
    assert kinds == {
        ("attempts-exhausted", "packed", "OSError"): 2,
        ("attempts-exhausted", "sent", "LookupError"): 2,
        ("rejected", "packed", "event_backbone.errors.Reject"): 1,
    }
    assert [each.dead_letters for each in counts] == [2, 2, 1]
    assert all(each.first <= each.last for each in counts)


async def test_one_dead_letter_is_shown_with_its_payload(backbone: Backbone) -> None:
    """Its reason and metadata come from the dead letter, the arguments from where the payload is."""
    letters = await a_bad_night(backbone)
    (first, *_) = await listed(letters)
    found = await letters.get(first.id)
    assert found is not None
    assert found == first
    assert (found.reason, found.error, found.attempts) == ("attempts-exhausted", "OSError", 1)
    assert (await letters.load(found)).arguments == {"number": 0}
    await backbone.erase(URI, found.key)
    assert (await letters.load(found)).payload == "erased"
    assert await letters.get("1-0") is None


async def test_a_redriven_event_is_handled_as_if_for_the_first_time(backbone: Backbone) -> None:
    """By its own group only, and once; what fails again becomes a new dead letter."""
    consumer, attempts, healed = Consumer(Parcels), list[int](), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if not healed.is_set():
            raise Reject("ill")

    await pack(backbone, 1)
    letters = backbone.dead_letters(URI, GROUP)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (letter,) = await listed(letters)
    assert await letters.redrive(letter.id)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (letter,) = await listed(letters)
    healed.set()
    assert await letters.redrive(letter.id)
    assert not await letters.redrive(letter.id)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert (attempts, await listed(letters)) == ([1, 1, 1], [])


async def test_a_discarded_event_stays_in_the_stream_and_is_not_handled(backbone: Backbone) -> None:
    """Its payload stays too, for other groups; discarding twice is fine."""
    letters = await a_bad_night(backbone)
    (first, *_) = await listed(letters)
    assert await letters.discard(first.id)
    assert not await letters.discard(first.id)
    assert not await letters.redrive(first.id)
    assert await letters.discard_all() == 5
    assert (await backbone.reader(URI).get(first.key)).arguments == {"number": 0}
    remembering = Remembering()
    await pack(backbone, 9)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1))
    assert remembering.numbers == [9]


async def test_what_an_erase_left_can_be_discarded(backbone: Backbone) -> None:
    """Dead letters whose payload was erased since; redriven instead, they are skipped and counted."""
    letters, metrics = await a_bad_night(backbone), CountedMetrics()
    keys = [each.key for each in await listed(letters)]
    for key in keys[:3]:
        await backbone.erase(URI, key)
    assert [each.key for each in await listed(letters, {"erased": True})] == keys[:3]
    assert await letters.discard_all(erased=True, reason="rejected") == 1
    assert (await letters.redrive_all(erased=True)).events == 2
    await run_to_the_end(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, max_events=2))
    assert metrics.count("event_backbone.skipped", reason="erased", event="packed", group=GROUP) == 2
    assert [each.key for each in await listed(letters)] == keys[3:]


async def test_an_event_that_has_left_the_stream_can_only_be_discarded(redis_url: str) -> None:
    """A redrive names it, and goes on with the others."""
    async with Backbone(redis_url, environment="test") as backbone:
        letters = await a_bad_night(backbone)
        gone = (await listed(letters))[1]
        assert backbone.redis is not None
        await backbone.redis.command("XDEL", "test:parcels", str(gone.key))
        with pytest.raises(EventNotFound, match=str(gone.key)):
            await letters.redrive(gone.id)
        redriven = await letters.redrive_all()
        assert (redriven.events, redriven.not_found) == (5, (gone.key,))
        assert await letters.discard_all(keys=[gone.key, EventKey(1)]) == 1


async def test_what_fails_again_meanwhile_is_not_redriven_again(backbone: Backbone) -> None:
    """A redrive that runs beside a consumer ends, however often its events fail."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise Reject("still ill")

    letters = backbone.dead_letters(URI, GROUP)
    await pack(backbone, *range(50))
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP)) as subscription:
        await eventually(lambda: subscription.handled == 50)
        assert (await letters.redrive_all(reason="rejected")).events == 50
        for _ in range(2):
            assert (await letters.redrive_all(reason="rejected")).events <= 50
    assert await letters.discard_all() + (await group_state(backbone)).parked == 50
