"""Producing once: follow-up events of a handler that is attempted again and again."""

import asyncio
from datetime import timedelta
from typing import Literal

import pytest

from event_backbone import Backbone, Consumer, Context, EventKey, LeaseLost, OnceInvalid, Reject, RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, pack, run_to_the_end

SENT = "sent-parcels"
AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())
EMAIL = "ada@example.com"


async def sent(backbone: Backbone) -> list[EventKey]:
    """Return the keys of the follow-up events."""
    return [event.key async for event in backbone.reader(SENT).scan()]


@pytest.mark.parametrize("ack", ["on-success", "manual"])
async def test_a_follow_up_is_produced_once_however_often_its_handler_is_called(
    backbone: Backbone, ack: Literal["on-success", "manual"]
) -> None:
    """Every attempt gets its key; it says which event, group and label it comes from, and what caused it."""
    consumer, keys, handled = Consumer(Parcels), list[EventKey](), list[Context]()
    producer = backbone.producer(Parcels, uri=SENT)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        handled.append(ctx)
        keys.append(await producer.sent.using(once="parcel")(number, f"{len(keys)}@example.com"))
        if len(keys) < 3:
            if ack == "manual":  # without the ack it is called again within the same attempt
                return
            raise LookupError
        await ctx.ack()

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE, ack=ack))
    (event,) = [event async for event in backbone.reader(SENT).scan()]
    assert keys == [event.key] * 3
    assert event.arguments == {"number": 1, "email": "0@example.com"}
    about = handled[0].metadata
    assert event.metadata.headers["once"] == f"test:{URI} {about.key} {about.event_id} {GROUP} parcel"
    assert event.metadata.causation_id == str(handled[0].metadata.event_id)


async def test_handlers_of_one_event_share_its_labels(backbone: Backbone) -> None:
    """Two at the same time produce with two labels; with the same label one of them is refused, and its event fails."""
    consumer, refused = Consumer(Parcels), list[str]()
    producer = backbone.producer(Parcels, uri=SENT)

    async def handle(ctx: Context, number: int, label: str) -> None:
        try:
            await producer.sent.using(once=label)(number, EMAIL)
        except OnceInvalid as error:
            refused.append(str(error))
        if ctx.attempt == 1:
            raise LookupError

    @consumer.on(Parcels.packed)
    async def first(ctx: Context, number: int) -> None:
        await handle(ctx, number, "one")

    @consumer.on(Parcels.packed)
    async def second(ctx: Context, number: int) -> None:
        await handle(ctx, number, "one" if number == 2 else "two")

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE))
    assert (len(await sent(backbone)), refused) == (2, [])
    await pack(backbone, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE))
    assert (len(await sent(backbone)), len(refused)) == (3, 2)


async def test_a_redriven_event_produces_again_only_what_it_has_not(backbone: Backbone) -> None:
    """Its dead letter keeps what it has produced; another group produces for itself."""
    consumer, rejects = Consumer(Parcels), True
    producer = backbone.producer(Parcels, uri=SENT)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        await producer.sent.using(once="before")(number, EMAIL)
        if rejects:
            raise Reject("not yet")
        await producer.sent.using(once="after")(number, EMAIL)

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    (before,) = await sent(backbone)
    rejects = False
    assert (await backbone.dead_letters(URI, GROUP).redrive_all()).events == 1
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    redriven = await sent(backbone)
    assert (redriven[0], len(redriven)) == (before, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group="replay", max_events=1))
    assert len(await sent(backbone)) == 4


async def test_nothing_is_produced_once_after_the_end_of_its_event(backbone: Backbone) -> None:
    """Neither after the ack, nor by a task that goes on after its handler."""
    consumer, refused, goes_on = Consumer(Parcels), list[type[BaseException] | None](), asyncio.Event()
    producer, tasks = backbone.producer(Parcels, uri=SENT), list[asyncio.Task[None]]()

    async def produce(label: str) -> None:
        with pytest.raises((OnceInvalid, LeaseLost)) as raised:
            await producer.sent.using(once=label)(1, EMAIL)
        refused.append(raised.type)

    async def later() -> None:
        await goes_on.wait()
        await produce("later")

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        tasks.append(asyncio.create_task(later()))
        if number == 1:
            await ctx.ack()
            await produce("after-the-ack")

    await pack(backbone, 1, 2)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2))
    goes_on.set()
    await asyncio.gather(*tasks)
    assert refused == [OnceInvalid, OnceInvalid, LeaseLost]
    assert await sent(backbone) == []
