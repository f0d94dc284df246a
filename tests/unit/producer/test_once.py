"""Producing once: an attempt that ends anywhere, and the next one at the same event. ``context`` begins an attempt."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from event_backbone.contract import bind
from event_backbone.errors import EventIdExpired, LeaseLost, NotSent, OnceInvalid, StreamUnavailable
from event_backbone.interceptors import Outgoing, ProduceInterceptor
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, new_event_id
from event_backbone.model.correlation import CurrentEvent, current_event, reset_current_event, set_current_event
from event_backbone.producer import Batcher, Producer
from event_backbone.reader import Reader
from event_backbone.storage import MemoryStorage, StorageScope
from event_backbone.stream.memory import MemoryStreams
from event_backbone.testing import context
from tests.support.producing import NAME, SOON, count_entries, producer_of, start, turns
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream
from tests.support.virtual_time import run_in_virtual_time

HANDLED = EventKey(1)
WINDOW, MINUTE = timedelta(minutes=10), timedelta(minutes=1)


class Clock:
    """The stream's clock, which a test moves."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.time() + self.ahead_seconds


def current() -> CurrentEvent:
    """Return the event that is being handled."""
    found = current_event()
    assert found is not None
    return found


class WithOutages:
    """The event that is being handled, on a server that does not answer the next calls."""

    def __init__(self, event: CurrentEvent) -> None:
        self._event = event
        self.metadata, self.attempt, self.group = event.metadata, event.attempt, event.group
        self.producing = event.producing
        self.reserve_fails = self.note_fails = 0

    async def reserve(self, follow_up: FollowUp, event_id: UUID, *, instead_of: UUID | None = None) -> KeptFollowUp:
        """Reserve, unless Redis is away."""
        if self.reserve_fails:
            self.reserve_fails -= 1
            raise StreamUnavailable("Redis is away.")
        return await self._event.reserve(follow_up, event_id, instead_of=instead_of)

    async def note(self, follow_up: FollowUp, event_id: UUID, key: EventKey) -> None:
        """Note, unless Redis is away."""
        if self.note_fails:
            self.note_fails -= 1
            raise StreamUnavailable("Redis is away.")
        await self._event.note(follow_up, event_id, key)


async def texts(stream: HeldStream, storage: MemoryStorage) -> list[object]:
    """Return the text of each note in the stream, loaded from its payload."""
    reader = Reader(stream, {"memory": storage}, StorageScope(NAME))
    return [event.arguments["text"] async for event in reader.scan()]


async def test_a_later_attempt_gets_the_key_of_the_first(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Whatever its arguments, and without asking the stream. Another label or handled event is another follow-up."""
    context(key=HANDLED)
    key = await producer.note.using(once="one")("first")
    context(key=HANDLED, attempt=2)
    assert await producer.note.using(once="one")("second") == key
    assert len(stream.batches) == 1
    assert await producer.note.using(once="two")("first") != key
    assert await count_entries(stream) == 2
    context(key=EventKey(2))
    assert await producer.note.using(once="one")("first") != key


@pytest.mark.parametrize("sent", [True, False])
async def test_an_attempt_that_ends_in_the_middle_is_completed_by_the_next(stream: HeldStream, sent: bool) -> None:
    """Cancelled after the event was sent, or while it was queued: one entry, with the payload that came with it.

    The next attempt has other arguments, and a payload is already saved under the id that is kept.
    """
    storage = MemoryStorage()
    producer = producer_of(Batcher(stream), storage=storage)
    stream.open.clear()
    others = [] if sent else start(producer, ["before"])
    if others:
        await stream.entered.wait()
    context(key=HANDLED)
    ended = asyncio.create_task(producer.note.using(once="label")("first"))
    await (stream.entered.wait() if sent else turns())
    ended.cancel()
    await asyncio.wait([ended])
    stream.open.set()
    await asyncio.gather(*others)
    context(key=HANDLED, attempt=2)
    key = await producer.note.using(once="label")("second")
    assert await texts(stream, storage) == (["first"] if sent else ["before", "second"])
    context(key=HANDLED, attempt=3)
    assert await producer.note.using(once="label")("third") == key


@pytest.mark.parametrize("appended", [True, False])
@pytest.mark.parametrize("made", [-WINDOW - MINUTE, WINDOW + MINUTE])
async def test_an_id_that_the_stream_refuses_is_looked_for_and_then_replaced(made: timedelta, appended: bool) -> None:
    """Older than the window, or ahead of the stream's clock: nobody can append under it any more, or yet."""
    clock = Clock()
    stream = HeldStream(MemoryStreams(wall=clock).stream(NAME))
    producer = producer_of(Batcher(stream))
    kept = UUID(int=new_event_id().int + (made // timedelta(milliseconds=1) << 80))
    context(key=HANDLED)
    await current().reserve(FollowUp(NAME.uri, "note", "label"), kept)
    before = list[EventKey]()
    if appended:
        clock.ahead_seconds = made.total_seconds()
        before.append(await producer.note.using(event_id=kept)("x"))
        clock.ahead_seconds = 0
    context(key=HANDLED, attempt=2)
    key = await producer.note.using(once="label")("x")
    assert [entry.key for entry in await stream.range(None, None, 10)] == (before or [key])
    context(key=HANDLED, attempt=3)
    assert await producer.note.using(once="label")("x") == key


def test_what_a_long_search_has_found_is_noted() -> None:
    """The search may take longer than the timeout; no later attempt has to search again."""

    async def main() -> None:
        clock = Clock()
        stream = HeldStream(MemoryStreams(wall=clock).stream(NAME))
        producer, follow_up = producer_of(Batcher(stream), SOON), FollowUp(NAME.uri, "note", "label")
        context(key=HANDLED)
        kept = await current().reserve(follow_up, new_event_id())
        key = await producer.note.using(event_id=kept.event_id)("x")
        clock.ahead_seconds, stream.find_takes = 2 * WINDOW.total_seconds(), 2 * SOON
        context(key=HANDLED, attempt=2)
        handled = WithOutages(current())
        handled.note_fails = 1
        token = set_current_event(handled)
        assert await producer.note.using(once="label")("x") == key
        reset_current_event(token)
        assert await current().reserve(follow_up, new_event_id()) == KeptFollowUp(kept.event_id, key)

    run_in_virtual_time(main())


async def test_a_wrong_clock_of_this_machine_is_an_error() -> None:
    """A new id that the stream refuses is not replaced again and again."""
    clock = Clock()
    producer = producer_of(Batcher(HeldStream(MemoryStreams(wall=clock).stream(NAME))))
    clock.ahead_seconds = 2 * WINDOW.total_seconds()
    context(key=HANDLED)
    for _ in range(2):
        with pytest.raises(EventIdExpired):
            await producer.note.using(once="label")("x")


async def test_redis_is_waited_for_up_to_the_timeout(stream: HeldStream, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent without a reserved id; what is in its stream counts as produced, noted or not."""
    producer = producer_of(Batcher(stream), SOON)
    context(key=HANDLED)
    handled = WithOutages(current())
    token = set_current_event(handled)
    handled.reserve_fails = handled.note_fails = 1
    key = await producer.note.using(once="both")("x")
    handled.note_fails = 1_000_000
    other = await producer.note.using(once="note")("x")
    assert "not noted as produced once: Redis is away." in caplog.text
    handled.reserve_fails = 1_000_000
    with pytest.raises(NotSent, match="Redis is away"):
        await producer.note.using(once="reserve")("x")
    assert [entry.key for entry in await stream.range(None, None, 10)] == [key, other]
    reset_current_event(token)
    context(key=HANDLED, attempt=2)
    assert await producer.note.using(once="note")("x") == other


async def test_a_label_is_used_once_in_an_attempt(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Also by tasks at the same time; after a failure it may be used again, and in the next attempt."""
    context(key=HANDLED)
    stream.faults.append(LeaseLost("Any answer that is not a key."))
    with pytest.raises(LeaseLost):
        await producer.note.using(once="label")("x")
    results = await asyncio.gather(*(producer.note.using(once="label")("x") for _ in range(3)), return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, OnceInvalid)]
    assert len(refused) == 2
    assert "another label" in refused[0]
    assert await count_entries(stream) == 1
    with pytest.raises(OnceInvalid):
        await producer.note.using(once="label")("x")
    context(key=HANDLED, attempt=2)
    await producer.note.using(once="label")("x")


async def test_once_needs_an_event_that_is_being_handled(stream: HeldStream, producer: ShipmentTracking) -> None:
    """Outside a handler and after the ack it is refused in one sentence, and nothing is sent."""
    with pytest.raises(OnceInvalid, match="inside a handler"):
        await producer.note.using(once="label")("x")
    ctx = context()
    await ctx.ack()
    with pytest.raises(OnceInvalid, match="produce first, then ack"):
        await producer.note.using(once="label")("x")
    assert await count_entries(stream) == 0


def test_a_context_outside_a_task_makes_no_event_the_current_one() -> None:
    """What a plain test, or a fixture, sets would reach the tests after it."""
    context()
    assert current_event() is None


async def test_an_attempt_that_has_lost_its_lease_produces_nothing(
    stream: HeldStream, producer: ShipmentTracking
) -> None:
    """Neither what it has not begun, nor what the next attempt has produced."""
    context(key=HANDLED)
    lost = current()
    context(key=HANDLED, attempt=2)
    await producer.note.using(once="label")("x")
    set_current_event(lost)
    for label in ("label", "other"):
        with pytest.raises(LeaseLost, match="another consumer has it"):
            await producer.note.using(once=label)("x")
    assert await count_entries(stream) == 1


@pytest.mark.parametrize("label", ["", " ", "two words", "new\nline", "\x00", "x" * 101, "\ud800"])
async def test_a_label_that_cannot_be_kept_is_refused(producer: ShipmentTracking, label: str) -> None:
    """Where it is given, before anything is produced."""
    with pytest.raises(OnceInvalid, match="1 to 100 printable characters without spaces"):
        producer.note.using(once=label)


async def test_once_and_an_event_id_exclude_each_other(producer: ShipmentTracking) -> None:
    """In one ``using`` or in two."""
    with pytest.raises(OnceInvalid, match="not both"):
        producer.note.using(once="label", event_id=new_event_id())
    with pytest.raises(OnceInvalid, match="not both"):
        producer.note.using(event_id=new_event_id()).using(once="label")


async def test_interceptors_see_the_id_that_is_kept(stream: HeldStream) -> None:
    """In every attempt that sends; one that raises sends nothing, and one that changes the id is refused."""
    seen, fail = list[Outgoing](), True

    async def look(outgoing: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        seen.append(outgoing)
        if fail:
            raise LookupError
        return await call_next(outgoing)

    async def change(outgoing: Outgoing, call_next: Callable[[Outgoing], Awaitable[EventKey]]) -> EventKey:
        return await call_next(replace(outgoing, metadata=replace(outgoing.metadata, event_id=new_event_id())))

    storage, batcher = MemoryStorage(), Batcher(stream)

    def with_interceptor(interceptor: ProduceInterceptor) -> ShipmentTracking:
        return bind(ShipmentTracking, Producer(batcher, storage, StorageScope(NAME), interceptors=[interceptor]))

    context(key=HANDLED, uri="orders", environment="prod")
    with pytest.raises(LookupError):
        await with_interceptor(look).note.using(once="label")("x")
    with pytest.raises(OnceInvalid, match="must not change the event id"):
        await with_interceptor(change).note.using(once="label")("x")
    fail = False
    context(key=HANDLED, uri="orders", environment="prod", attempt=2)
    await with_interceptor(look).note.using(once="label")("x")
    assert seen[0].metadata.event_id == seen[1].metadata.event_id
    [event] = [event async for event in Reader(stream, {"memory": storage}, StorageScope(NAME)).scan()]
    assert event.metadata.event_id == seen[0].metadata.event_id
    assert event.metadata.headers == {"once": f"prod:orders 1-0 {event.metadata.causation_id} test label"}
