"""Debugging: the handlers of one event are called in the foreground, and what they produce is held back."""

import asyncio
from collections.abc import Sequence

from event_backbone import Backbone, Batch, Consumer, Context, Reject, StoredEvent
from tests.support.batches import Gathering
from tests.support.parcels import URI, Parcels

SENT = "sent-parcels"


async def test_debugging_calls_the_handlers_of_one_event_in_the_callers_task(backbone: Backbone) -> None:
    """What they raise is returned with its traceback; what they produce is held back unless it is wanted."""
    key = await backbone.producer(Parcels, uri=URI).packed(7)
    producer, consumer, tasks = backbone.producer(Parcels, uri=SENT), Consumer(Parcels), list[object]()

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.gather(producer.packed(number + 1), asyncio.sleep(0))
        await producer.sent.using(once="parcel")(number, "ada@example.com")
        raise LookupError(number)

    report = await backbone.debug(consumer, URI, key)
    assert tasks == [asyncio.current_task()]
    assert isinstance(report.error, LookupError)
    assert report.error.__traceback__ is not None
    assert (report.event.key, report.skipped) == (key, "")
    assert [str(each) for each in report.held_back] == [
        "packed(number=8) to sent-parcels",
        "sent(number=7, email='ada@example.com') to sent-parcels",
    ]
    assert not await _all(backbone, SENT)
    assert not (await backbone.debug(consumer, URI, key, produce=True)).held_back
    assert [event.metadata.event for event in await _all(backbone, SENT)] == ["packed", "sent"]
    assert (await backbone.debug(Consumer(Parcels), URI, key)).skipped == "no-handler"
    assert not await backbone.groups(URI)


async def _all(backbone: Backbone, uri: str) -> Sequence[StoredEvent]:
    return [event async for event in backbone.reader(uri).scan()]


async def test_a_batch_handler_is_debugged_with_a_batch_of_one(backbone: Backbone) -> None:
    """What it produces is held back, within ``handling()`` and outside; what it decides is returned."""
    key = await backbone.producer(Parcels, uri=URI).packed(7)
    producer, gathering = backbone.producer(Parcels, uri=SENT), Gathering()

    async def act(batch: Batch[[int]]) -> None:
        await producer.packed(8)
        with batch[0].handling():
            await producer.packed.using(once="one")(9)
        batch[0].reject("no")

    gathering.act = act
    report = await backbone.debug(gathering.consumer, URI, key)
    assert gathering.batches == [[7]]
    assert isinstance(report.error, Reject)
    assert [each.arguments for each in report.held_back] == [{"number": 8}, {"number": 9}]
    assert not await _all(backbone, SENT)
