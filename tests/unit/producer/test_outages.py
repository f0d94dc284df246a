"""A stream that does not answer, or refuses: what its callers get, and what stays in doubt."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    EventIdExpired,
    NotSent,
    OutcomeUnknown,
    StreamError,
    StreamUnavailable,
)
from event_backbone.model import EventKey, new_event_id
from event_backbone.producer import Batcher
from tests.support.producing import (
    SOON,
    Refusing,
    RefusingLater,
    count_entries,
    producer_of,
    start,
    turns,
)
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream


async def test_a_lost_answer_makes_one_entry(stream: HeldStream, producer: ShipmentTracking) -> None:
    """The batch is retried under the same event id, so that there is one entry, and its key is returned."""
    stream.lost.append(StreamUnavailable("the answer was lost"))
    key = await producer.note("once")
    assert [entry.key for entry in await stream.range(None, None, 10)] == [key]


async def test_outages_are_waited_out(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A stream that comes back within the deadline costs the caller only time."""
    stream.faults.extend(StreamUnavailable("away") for _ in range(3))
    await producer.note("patient")
    assert await count_entries(stream) == 1


async def test_order_survives_an_outage(stream: HeldStream, producer: ShipmentTracking) -> None:
    """What came during the outage comes after what was in flight when it began."""
    stream.faults.append(StreamUnavailable("away"))
    first = start(producer, ["a", "b"])
    await stream.entered.wait()
    keys = await asyncio.gather(*first, *start(producer, ["c", "d"]))
    assert keys == sorted(keys)


async def test_no_answer_in_time_is_outcome_unknown(stream: HeldStream, batcher: Batcher) -> None:
    """Once sent, the event may be in the stream or not; producing again under its id settles it."""
    stream.open.clear()
    with pytest.raises(OutcomeUnknown) as caught:
        await producer_of(batcher, SOON).note("x")
    stream.open.set()
    again = producer_of(batcher).note.using(event_id=caught.value.event_id)
    assert await again("x") == await again("x")
    assert await count_entries(stream) == 1


async def test_a_stream_that_is_away_ends_in_one_sentence(stream: HeldStream, batcher: Batcher) -> None:
    """The error says what was wrong with the stream, and has the stream's error as its cause."""
    stream.faults.extend(StreamUnavailable("Redis is away.") for _ in range(1000))
    with pytest.raises(OutcomeUnknown, match="Redis is away") as caught:
        await producer_of(batcher, SOON).note("x")
    assert isinstance(caught.value.__cause__, StreamUnavailable)


async def test_queued_behind_an_outage_is_not_sent(stream: HeldStream, batcher: Batcher) -> None:
    """What was never sent is reported as such: producing it again is safe."""
    stream.open.clear()
    under_way = asyncio.create_task(producer_of(batcher, timedelta(seconds=1)).note("under way"))
    await stream.entered.wait()
    with pytest.raises(NotSent):
        async with asyncio.timeout(5):
            await producer_of(batcher, SOON).note("queued")
    with pytest.raises(OutcomeUnknown):
        await under_way
    stream.open.set()
    await turns()
    assert await count_entries(stream) == 0


async def test_refused_events_are_not_in_doubt(batcher: Batcher, stream: HeldStream) -> None:
    """An event that the stream refused until the deadline was not sent, and its error says so."""
    refusing = Batcher(Refusing(stream))
    with pytest.raises(NotSent, match="out of memory"):
        await producer_of(refusing, SOON).note("x")


@pytest.mark.parametrize("refusal", [ConfigurationError("Redis denies it."), EventIdExpired("It is too old.")])
async def test_an_event_in_doubt_that_is_refused_later_stays_in_doubt(
    stream: HeldStream, refusal: BackboneError
) -> None:
    """The first answer was lost, so the entry may be in the stream; the later refusal is the cause."""
    refusing = RefusingLater(stream, refusal)
    stream.lost.append(StreamUnavailable("the answer was lost"))
    with pytest.raises(OutcomeUnknown, match=str(refusal)) as caught:
        await producer_of(Batcher(refusing)).note("x")
    assert caught.value.__cause__ is refusal
    assert await count_entries(stream) == 1


async def test_an_event_in_doubt_that_has_a_key_later_is_sent(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Another event of the second batch is refused, and was never sent before: its error says so."""
    stream.lost.append(StreamUnavailable("the answer was lost"))
    stream.open.clear()
    first = asyncio.create_task(producer.note("in doubt"))
    await stream.entered.wait()
    old = new_event_id()
    expired = type(old)(int=(old.int & ((1 << 80) - 1)) | (1_000 << 80))
    second = asyncio.create_task(producer.note.using(event_id=expired)("too old"))
    await turns()
    stream.open.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [EventKey, EventIdExpired]
    assert len(stream.batches) == 2


async def test_one_bad_event_does_not_spoil_its_batch(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Each caller gets its own answer: a key, or the error of that event."""
    old = new_event_id()
    expired = type(old)(int=(old.int & ((1 << 80) - 1)) | (1_000 << 80))
    results = await asyncio.gather(
        producer.note("good"),
        producer.note.using(event_id=expired)("too old"),
        producer.note("good, too"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [EventKey, EventIdExpired, EventKey]
    assert len(stream.batches) == 1


async def test_an_error_of_the_whole_batch_reaches_every_caller(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Nobody hangs, and each caller has a separate error."""
    stream.faults.append(ConfigurationError("The password is wrong."))
    results = await asyncio.gather(*start(producer, ["a", "b", "c"]), return_exceptions=True)
    assert [type(result) for result in results] == [ConfigurationError] * 3
    assert len({id(result) for result in results}) == 3
    await producer.note("later calls work")


async def test_a_bug_reaches_every_caller(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Whatever goes wrong while a batch is in flight, its callers and those behind it get an error."""
    stream.open.clear()
    stream.faults.append(ZeroDivisionError("a bug"))
    tasks = start(producer, ["a", "b"])
    await stream.entered.wait()
    tasks += start(producer, ["behind"])
    await turns()
    stream.open.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown, NotSent]
    await producer.note("later calls work")


async def test_errors_are_all_ours(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Everything that a produce call itself raises is a BackboneError."""
    stream.faults.append(StreamError("something else"))
    with pytest.raises(BackboneError):
        await producer.note("x")
