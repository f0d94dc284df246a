"""Outcomes of handlers: one test for each row of docs/reference/outcomes.md."""

from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.errors import Reject, Retry
from tests.outcomes.one_event import AT_ONCE, OtherParcels, assert_dead, handle_one, letters
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end


async def test_handlers_succeed(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked, and counted as handled."""
    await pack(backbone, 1)
    await handle_one(backbone, Remembering().consumer)
    assert counted.count("event_backbone.handled", event="packed") == 1
    assert await letters(backbone) == []


async def test_contract_event_without_handler(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked, and counted as unhandled; its payload is not even loaded."""
    await backbone.producer(Parcels, uri=URI).sent(1, "a@b.c")
    await handle_one(backbone, Remembering().consumer)
    assert counted.count("event_backbone.unhandled", event="sent") == 1
    assert await letters(backbone) == []
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_no_handler_but_a_fallback(backbone: Backbone, counted: CountedMetrics) -> None:
    """The fallback gets it, known to the contract or not."""
    remembering, rest = Remembering(), list[str]()

    @remembering.consumer.fallback
    async def fallback(ctx: Context, event: StoredEvent) -> None:
        rest.append(event.metadata.event)

    await backbone.producer(OtherParcels, uri=URI).burnt(1)
    await handle_one(backbone, remembering.consumer)
    assert (rest, await letters(backbone)) == (["burnt"], [])
    assert counted.count("event_backbone.handled", event="unknown") == 1


async def test_handler_fails(backbone: Backbone, counted: CountedMetrics) -> None:
    """Retried up to the last attempt, then a dead letter."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise OSError

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    await assert_dead(backbone, counted, "attempts-exhausted")
    assert counted.count("event_backbone.retried", event="packed") == 2


async def test_handler_asks_for_a_retry(backbone: Backbone, counted: CountedMetrics) -> None:
    """Retried at the time it asks for, as an attempt like any other."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if ctx.attempt == 1:
            raise Retry(after=timedelta())

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    assert counted.count("event_backbone.retried", event="packed") == 1
    assert counted.count("event_backbone.handled", event="packed") == 1
    assert await letters(backbone) == []


async def test_handler_rejects(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise Reject("never")

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    await assert_dead(backbone, counted, "rejected")
    assert counted.count("event_backbone.retried") == 0


async def test_handler_returns_without_the_manual_ack(backbone: Backbone, counted: CountedMetrics) -> None:
    """Called again, on the same attempt, until it acks."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 2:
            await ctx.ack()

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE, ack="manual"))
    assert attempts == [1, 1]
    assert counted.count("event_backbone.retried", event="packed") == 1
    assert await letters(backbone) == []


async def test_handler_fails_under_always(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked anyway, and never handled again."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        raise OSError

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, ack="always"))
    assert (attempts, await letters(backbone)) == ([1], [])
    assert counted.count("event_backbone.handled") == 0
    assert counted.count("event_backbone.retried") == 0
