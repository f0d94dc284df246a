"""Many produce calls, few round trips: batches, order, faults, deadlines, closing. In memory, with injected faults."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from event_backbone.contract import bind
from event_backbone.errors import (
    ArgumentsInvalid,
    BackboneClosed,
    BackboneError,
    ConfigurationError,
    EventIdExpired,
    NotSent,
    OutcomeUnknown,
    StreamError,
    StreamUnavailable,
)
from event_backbone.metadata import EventKey, StreamName, new_event_id
from event_backbone.producer import Flusher, Producer
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.values import NewEntry
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream

NAME = StreamName.of("shipments", "test")
SOON = timedelta(milliseconds=200)


@pytest.fixture
def stream() -> HeldStream:
    """A stream in memory that can be held up."""
    return HeldStream(MemoryStreams().stream(NAME))


@pytest.fixture
def flusher(stream: HeldStream) -> Flusher:
    """The one way into that stream."""
    return Flusher(stream)


@pytest.fixture
def producer(flusher: Flusher) -> ShipmentTracking:
    """A typed producer."""
    return _producer(flusher)


def _producer(flusher: Flusher, timeout: timedelta = timedelta(seconds=10)) -> ShipmentTracking:
    return bind(ShipmentTracking, Producer(flusher, MemoryStorage(), StorageScope(NAME), timeout=timeout))


async def _turns(count: int = 10) -> None:
    """Let every task that is ready go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def _start(producer: ShipmentTracking, texts: Sequence[str]) -> list[asyncio.Task[EventKey]]:
    return [asyncio.create_task(producer.note(text)) for text in texts]


async def _stands(stream: HeldStream) -> int:
    return len(await stream.range(None, None, 10_000))


async def test_a_lone_event_leaves_at_once(stream: HeldStream, producer: ShipmentTracking) -> None:
    """No timer waits for company: the stream has the event before a few turns of the loop are over."""
    task = asyncio.create_task(producer.note("alone"))
    await _turns()
    assert task.done()
    assert [len(batch) for batch in stream.batches] == [1]


async def test_concurrent_calls_share_round_trips(stream: HeldStream, producer: ShipmentTracking) -> None:
    """What comes while a batch is under way travels together in the next; each call gets a key of its own."""
    stream.open.clear()
    tasks = _start(producer, [str(number) for number in range(200)])
    await _turns()
    stream.open.set()
    keys = await asyncio.gather(*tasks)
    assert len(set(keys)) == 200
    assert len(stream.batches) < 10


async def test_calls_keep_their_order(producer: ShipmentTracking) -> None:
    """Whoever calls first stands first in the stream, also over many batches."""
    keys = await asyncio.gather(*_start(producer, [str(number) for number in range(1000)]))
    assert keys == sorted(keys)


async def test_one_batch_is_under_way_at_a_time(stream: HeldStream, producer: ShipmentTracking) -> None:
    """While a batch has no answer, no other is sent: what is behind cannot overtake."""
    stream.open.clear()
    tasks = _start(producer, ["first"])
    await stream.entered.wait()
    tasks += _start(producer, ["second", "third"])
    await _turns()
    assert len(stream.batches) == 1
    stream.open.set()
    assert len(await asyncio.gather(*tasks)) == 3


async def test_a_batch_has_at_most_256_events(stream: HeldStream, producer: ShipmentTracking) -> None:
    """However many events wait, a batch stays small enough for one script call."""
    stream.open.clear()
    tasks = _start(producer, ["x"] * 1500)
    await _turns()
    stream.open.set()
    await asyncio.gather(*tasks)
    assert max(len(batch) for batch in stream.batches) == 256


async def test_a_batch_has_at_most_one_mebibyte(stream: HeldStream) -> None:
    """Large events travel in small company; one larger than the limit travels alone."""
    flusher = Flusher(stream)
    sizes = [400_000, 400_000, 400_000, 2_000_000, 100]
    stream.open.clear()
    first = flusher.append(_entry(), _later(), 1)
    await stream.entered.wait()
    keys = [flusher.append(_entry(), _later(), size) for size in sizes]
    stream.open.set()
    await asyncio.gather(first, *keys)
    assert [len(batch) for batch in stream.batches] == [1, 2, 1, 1, 1]


async def test_cancelled_while_queued_is_not_sent(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A call that is cancelled before its batch leaves was never made."""
    stream.open.clear()
    under_way, queued = _start(producer, ["under way"])[0], asyncio.create_task(producer.note("queued"))
    await stream.entered.wait()
    late = asyncio.create_task(producer.note("late"))
    await _turns()
    late.cancel()
    await _turns()
    stream.open.set()
    await asyncio.gather(under_way, queued)
    await _turns()
    assert late.cancelled()
    assert await _stands(stream) == 2


async def test_cancelled_in_flight_goes_on(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A call that is cancelled while its batch is under way does not take the batch with it."""
    stream.open.clear()
    cancelled, other = _start(producer, ["cancelled", "other"])
    await stream.entered.wait()
    cancelled.cancel()
    await _turns()
    stream.open.set()
    await other
    assert cancelled.cancelled()
    assert await _stands(stream) == 2


async def test_the_callers_context_stays_outside(stream: HeldStream, producer: ShipmentTracking) -> None:
    """The batch runs in an empty context: no caller's variables or spans leak into the batches of others."""
    marker: ContextVar[str] = ContextVar("marker", default="empty")
    seen: list[str] = []
    stream.on_append = lambda: seen.append(marker.get())
    marker.set("the caller's")
    await producer.note("x")
    assert seen == ["empty"]


async def test_a_lost_answer_makes_one_entry(stream: HeldStream, producer: ShipmentTracking) -> None:
    """The call is repeated under its event id, so that the entry stands there once, and its key is returned."""
    stream.lost.append(StreamUnavailable("the answer was lost"))
    key = await producer.note("once")
    assert [entry.key for entry in await stream.range(None, None, 10)] == [key]


async def test_outages_are_waited_out(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A stream that comes back within the deadline costs the caller nothing but time."""
    stream.faults.extend(StreamUnavailable("away") for _ in range(3))
    await producer.note("patient")
    assert await _stands(stream) == 1


async def test_order_survives_an_outage(stream: HeldStream, producer: ShipmentTracking) -> None:
    """What came during the outage stands behind what was under way when it began."""
    stream.faults.append(StreamUnavailable("away"))
    first = _start(producer, ["a", "b"])
    await stream.entered.wait()
    keys = await asyncio.gather(*first, *_start(producer, ["c", "d"]))
    assert keys == sorted(keys)


async def test_no_answer_in_time_is_outcome_unknown(stream: HeldStream, flusher: Flusher) -> None:
    """Once handed over, nobody can say whether the event stands there; producing under its id finds out."""
    stream.open.clear()
    with pytest.raises(OutcomeUnknown) as caught:
        await _producer(flusher, SOON).note("x")
    stream.open.set()
    again = _producer(flusher).note.using(event_id=caught.value.event_id)
    assert await again("x") == await again("x")
    assert await _stands(stream) == 1


async def test_a_stream_that_is_away_ends_in_one_sentence(stream: HeldStream, flusher: Flusher) -> None:
    """The error says what was wrong with the stream, and has its error as its cause."""
    stream.faults.extend(StreamUnavailable("Redis is away.") for _ in range(1000))
    with pytest.raises(OutcomeUnknown, match="Redis is away") as caught:
        await _producer(flusher, SOON).note("x")
    assert isinstance(caught.value.__cause__, StreamUnavailable)


async def test_queued_behind_an_outage_is_not_sent(stream: HeldStream, flusher: Flusher) -> None:
    """What was never handed to the stream is told so: producing it again is safe."""
    stream.open.clear()
    under_way = asyncio.create_task(_producer(flusher, timedelta(seconds=1)).note("under way"))
    await stream.entered.wait()
    with pytest.raises(NotSent):
        async with asyncio.timeout(5):
            await _producer(flusher, SOON).note("queued")
    with pytest.raises(OutcomeUnknown):
        await under_way
    stream.open.set()
    await _turns()
    assert await _stands(stream) == 0


async def test_refused_events_are_not_in_doubt(flusher: Flusher, stream: HeldStream) -> None:
    """An event that the stream has refused until the deadline was not sent, and that is said."""
    refusing = Flusher(_Refusing(stream))
    with pytest.raises(NotSent, match="out of memory"):
        await _producer(refusing, SOON).note("x")


@pytest.mark.parametrize("refusal", [ConfigurationError("Redis denies it."), EventIdExpired("It is too old.")])
async def test_an_event_in_doubt_that_is_refused_later_stays_in_doubt(
    stream: HeldStream, refusal: BackboneError
) -> None:
    """The answer to the first try was lost, so the entry may stand there; the refusal of the second is the cause."""
    refusing = _RefusingLater(stream, refusal)
    stream.lost.append(StreamUnavailable("the answer was lost"))
    with pytest.raises(OutcomeUnknown, match=str(refusal)) as caught:
        await _producer(Flusher(refusing)).note("x")
    assert caught.value.__cause__ is refusal
    assert await _stands(stream) == 1


async def test_an_event_in_doubt_that_has_a_key_later_is_sent(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Its neighbour is refused and was never handed over before: that one is told so."""
    stream.lost.append(StreamUnavailable("the answer was lost"))
    stream.open.clear()
    first = asyncio.create_task(producer.note("in doubt"))
    await stream.entered.wait()
    old = new_event_id()
    expired = type(old)(int=(old.int & ((1 << 80) - 1)) | (1_000 << 80))
    second = asyncio.create_task(producer.note.using(event_id=expired)("too old"))
    await _turns()
    stream.open.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [EventKey, EventIdExpired]
    assert len(stream.batches) == 2


async def test_one_bad_event_does_not_spoil_its_batch(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Each caller gets its own answer: a key, or the error of its own event."""
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
    """Nobody hangs, and each caller has an error of its own."""
    stream.faults.append(ConfigurationError("The password is wrong."))
    results = await asyncio.gather(*_start(producer, ["a", "b", "c"]), return_exceptions=True)
    assert [type(result) for result in results] == [ConfigurationError] * 3
    assert len({id(result) for result in results}) == 3
    await producer.note("later calls work")


async def test_a_bug_below_reaches_every_caller(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Whatever goes wrong while a batch is under way, its callers and those behind are told."""
    stream.open.clear()
    stream.faults.append(ZeroDivisionError("a bug"))
    tasks = _start(producer, ["a", "b"])
    await stream.entered.wait()
    tasks += _start(producer, ["behind"])
    await _turns()
    stream.open.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, OutcomeUnknown, NotSent]
    await producer.note("later calls work")


async def test_a_full_queue_makes_calls_wait_in_turn(stream: HeldStream) -> None:
    """Whoever comes when the queue is full waits, and is let in first come, first served."""
    producer = _producer(Flusher(stream, queue_events=2))
    stream.open.clear()
    tasks = _start(producer, [str(number) for number in range(6)])
    await _turns()
    assert len(stream.batches) == 1
    tasks[3].cancel()
    await _turns()
    stream.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    keys = [result for result in results if isinstance(result, EventKey)]
    assert keys == sorted(keys)
    assert len(keys) == 5 == await _stands(stream)


async def test_the_queue_is_bounded_by_bytes(stream: HeldStream) -> None:
    """A few large payloads fill the queue as well; one larger than the whole queue is let in alone."""
    producer = _producer(Flusher(stream, queue_bytes=100))
    stream.open.clear()
    tasks = _start(producer, ["x" * 1000, "y", "z"])
    await _turns()
    assert sum(map(len, stream.batches)) == 1
    stream.open.set()
    await asyncio.gather(*tasks)
    assert await _stands(stream) == 3


async def test_no_room_in_time_is_not_sent(stream: HeldStream) -> None:
    """Waiting for room counts against the deadline."""
    flusher = Flusher(stream, queue_events=1)
    stream.open.clear()
    under_way = asyncio.create_task(_producer(flusher).note("under way"))
    await stream.entered.wait()
    with pytest.raises(NotSent, match="no room in time"):
        await _producer(flusher, SOON).note("no room")
    stream.open.set()
    await under_way


async def test_closing_sends_what_is_queued(stream: HeldStream, flusher: Flusher, producer: ShipmentTracking) -> None:
    """Within the drain time everything that was accepted is sent; new calls are refused at once."""
    stream.open.clear()
    tasks = _start(producer, [str(number) for number in range(50)])
    await stream.entered.wait()
    closing = asyncio.create_task(flusher.close(timedelta(seconds=5)))
    await _turns()
    with pytest.raises(BackboneClosed):
        await producer.note("too late")
    stream.open.set()
    await closing
    assert len(await asyncio.gather(*tasks)) == 50
    assert await _stands(stream) == 50


async def test_closing_gives_up_after_the_drain_time(
    stream: HeldStream, flusher: Flusher, producer: ShipmentTracking
) -> None:
    """What is under way by then is in doubt, the rest was not sent; nobody hangs."""
    stream.open.clear()
    tasks = _start(producer, ["under way"])
    await stream.entered.wait()
    tasks += _start(producer, ["queued"])
    await _turns()
    await flusher.close(timedelta(0))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [OutcomeUnknown, NotSent]


async def test_closing_refuses_who_waits_for_room(stream: HeldStream) -> None:
    """A call that was not let in yet ends with the closing."""
    flusher = Flusher(stream, queue_events=1)
    producer = _producer(flusher)
    stream.open.clear()
    tasks = _start(producer, ["under way", "waits for room"])
    await stream.entered.wait()
    closing = asyncio.create_task(flusher.close(timedelta(seconds=5)))
    await _turns()
    stream.open.set()
    await closing
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [EventKey, BackboneClosed]


async def test_closing_waits_for_a_cancelled_callers_batch(
    stream: HeldStream, flusher: Flusher, producer: ShipmentTracking
) -> None:
    """Cancelled in flight goes on, also while closing."""
    stream.open.clear()
    task = asyncio.create_task(producer.note("cancelled in flight"))
    await stream.entered.wait()
    task.cancel()
    await _turns()
    closing = asyncio.create_task(flusher.close(timedelta(seconds=5)))
    await _turns()
    stream.open.set()
    await closing
    assert await _stands(stream) == 1


async def test_the_end_of_the_loop_leaves_nobody_hanging(flusher: Flusher, producer: ShipmentTracking) -> None:
    """A flusher that is cancelled before it began fails its callers, and refuses what comes after."""
    future = flusher.append(_entry(), _later(), 1)
    (task,) = [each for each in asyncio.all_tasks() if each.get_name() == "event-backbone-flusher"]
    task.cancel()
    with pytest.raises(NotSent):
        await future
    with pytest.raises(BackboneClosed):
        await producer.note("x")


async def test_arguments_are_checked_before_the_first_await(stream: HeldStream, producer: ShipmentTracking) -> None:
    """A wrong call fails in its first step, before any other task has a turn; nothing was sent."""
    call = producer.packing("jo@example.com", "no number", datetime.now(UTC))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentsInvalid, match="product_id"):
        call.send(None)
    assert not stream.batches


async def test_event_ids_of_ones_own_are_uuid7(producer: ShipmentTracking) -> None:
    """Only a UUIDv7 tells by its time whether a twin can be recognised."""
    with pytest.raises(ArgumentsInvalid, match="UUIDv7"):
        await producer.note.using(event_id=uuid4())("x")


async def test_errors_are_all_ours(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Everything that a produce call raises on its own account is a BackboneError."""
    stream.faults.append(StreamError("something else"))
    with pytest.raises(BackboneError):
        await producer.note("x")


def _later() -> float:
    return asyncio.get_running_loop().time() + 5


def _entry() -> NewEntry:
    return NewEntry(new_event_id(), b"{}")


class _Refusing(HeldStream):
    """A stream that refuses every event for now, as a full Redis does."""

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Refuse."""
        return [StreamUnavailable("Redis is out of memory.") for _ in entries]


class _RefusingLater(HeldStream):
    """A stream that takes the first batch, and refuses each event of every later one."""

    def __init__(self, stream: HeldStream, refusal: BackboneError) -> None:
        super().__init__(stream)
        self._refusal = refusal

    async def append(self, entries: Sequence[NewEntry]) -> Sequence[EventKey | StreamError]:
        """Pass on, then refuse."""
        if not self.batches:
            return await super().append(entries)
        if isinstance(self._refusal, StreamError):
            return [self._refusal for _ in entries]
        raise self._refusal
