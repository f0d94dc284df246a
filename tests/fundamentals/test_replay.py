"""Replaying: a consumer handles a range of the history again, and no consumer group notices."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from event_backbone import (
    Backbone,
    ConfigurationError,
    Consumer,
    Context,
    EventKey,
    Reject,
    ReplayReport,
    ReplayStopped,
    Retry,
    RetryPolicy,
)
from event_backbone.testing import context
from tests.support.parcels import Parcels
from tests.support.shipment import URI, Billing, ShipmentTracking, consume

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())
SENT = "sent-parcels"


async def _note(backbone: Backbone, count: int) -> list[EventKey]:
    producer = backbone.producer(ShipmentTracking, uri=URI)
    return [await producer.note(str(number)) for number in range(count)]


class Notes:
    """A consumer of notes, and what it was called with; it fails as often as a text has attempts planned."""

    def __init__(self, **fails: int) -> None:
        self.calls: list[tuple[EventKey, str, int]] = []
        self.contexts: list[Context] = []
        self.consumer = Consumer(ShipmentTracking)
        self._fails = fails

        @self.consumer.on(ShipmentTracking.note)
        async def note(ctx: Context, text: str) -> None:
            self.calls.append((ctx.metadata.key, text, ctx.attempt))
            self.contexts.append(ctx)
            await ctx.ack()
            ctx.acked = False  # so that failing still counts
            await asyncio.sleep(0)
            if ctx.attempt <= self._fails.get(f"n{text}", 0):
                raise ValueError(text)

    @property
    def keys(self) -> list[EventKey]:
        """The keys of the events, one for each call."""
        return [key for key, _, _ in self.calls]


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_replay_handles_its_range_and_no_group_notices(backbone: Backbone, concurrency: int) -> None:
    """From start (inclusive) to end (exclusive), by key and by time; it goes on where it ended."""
    keys = await _note(backbone, 250)
    group = Notes()
    await consume(backbone, group.consumer, 250)
    before, notes = await backbone.groups(URI), Notes()
    report = await backbone.replay(notes.consumer, URI, concurrency=concurrency, start=keys[10], end=keys[230])
    assert notes.keys == keys[10:230]
    assert all(each.replaying and each.attempt == 1 and each.acked is False for each in notes.contexts)
    assert not any(each.replaying for each in group.contexts)
    assert (report.next, report.handled, report.events) == (keys[230], {"note": 220}, 220)
    assert not report.skipped
    assert not report.failed
    await backbone.replay(notes.consumer, URI, start=report.next)
    assert notes.keys == keys[10:]
    by_time = Notes()
    start = datetime.fromtimestamp(keys[100].milliseconds / 1000, UTC)
    await backbone.replay(by_time.consumer, URI, start=start, end=start + timedelta(hours=1))
    assert by_time.keys == [key for key in keys if key.milliseconds >= keys[100].milliseconds]
    assert await backbone.groups(URI) == before
    assert not [each async for each in backbone.dead_letters(URI, "g").list(None)]


async def test_events_that_come_meanwhile_are_not_of_the_range(backbone: Backbone) -> None:
    """Also when the handlers themselves produce to the stream."""
    keys, consumer = await _note(backbone, 3), Consumer(ShipmentTracking)
    producer = backbone.producer(ShipmentTracking, uri=URI)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        await producer.note(f"again {text}")

    report = await backbone.replay(consumer, URI)
    assert (report.handled, report.next) == ({"note": 3}, keys[-1].successor())


async def test_failures_are_attempted_again_in_place(backbone: Backbone) -> None:
    """With concurrency 1 the next event waits; attempts count within the replay, and Retry says how long to wait."""
    await _note(backbone, 4)
    notes = Notes(n1=2)
    await backbone.replay(notes.consumer, URI, concurrency=1, retry=AT_ONCE)
    assert [(text, attempt) for _, text, attempt in notes.calls] == [
        ("0", 1), ("1", 1), ("1", 2), ("1", 3), ("2", 1), ("3", 1),
    ]  # fmt: skip
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        if ctx.attempt == 1 and text == "0":
            raise Retry(after=timedelta(milliseconds=50))

    began = monotonic()
    await backbone.replay(consumer, URI, retry=RetryPolicy(max_attempts=2, backoff=timedelta(hours=1)))
    assert monotonic() - began >= 0.05


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_replay_stops_at_what_cannot_be_handled_and_goes_on_from_there(
    backbone: Backbone, concurrency: int
) -> None:
    """The error names the event, the place and the key to go on with; everything before that was handled."""
    keys = await _note(backbone, 20)
    notes, reports = Notes(n7=3), list[ReplayReport]()
    with pytest.raises(ReplayStopped, match=rf"{keys[7]} \(note\): attempts-exhausted, ValueError at .* in note"
                       rf"\. Correct that, then replay from {keys[7]} on") as stopped:  # fmt: skip
        await backbone.replay(notes.consumer, URI, concurrency=concurrency, retry=AT_ONCE, on_progress=reports.append)
    assert stopped.value.next == str(reports[-1].next) == str(keys[7])
    assert set(keys[:7]) <= set(notes.keys)
    assert concurrency > 1 or set(notes.keys) == set(keys[:8])
    mended = Notes()
    await backbone.replay(mended.consumer, URI, start=EventKey.parse(stopped.value.next))
    assert mended.keys == keys[7:]


async def test_failures_can_be_counted_instead(backbone: Backbone) -> None:
    """A Reject never stops a replay; each failure says why and where."""
    keys = await _note(backbone, 6)
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        if text == "2":
            raise Reject("not today")
        if text == "4":
            asyncio.current_task().cancel()  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]
            await asyncio.sleep(0)

    report = await backbone.replay(consumer, URI, retry=AT_ONCE, on_failure="continue")
    assert report.failed == {"rejected": 1, "attempts-exhausted": 1}
    assert {(each.key, each.event, each.error, each.detail) for each in report.failures} == {
        (keys[2], "note", "event_backbone.errors.Reject", "not today"),
        (keys[4], "note", "asyncio.exceptions.CancelledError", ""),
    }
    assert (report.handled, report.next) == ({"note": 4}, keys[-1].successor())


async def test_what_needs_no_handler_or_has_none_is_counted_by_reason(backbone: Backbone) -> None:
    """As a subscription would decide; a dry run says so beforehand, as far as metadata can."""
    keys = await _note(backbone, 2)
    await backbone.producer(ShipmentTracking, uri=URI).packing("ada@example.com", 7, datetime.now(UTC))
    await backbone.producer(Billing, uri=URI).invoiced(1)
    notes = Notes()
    expected = await backbone.replay(notes.consumer, URI, dry_run=True)
    assert not notes.calls
    assert (expected.handled, expected.skipped) == ({"note": 2}, {"no-handler": 1, "unknown-event": 1})
    await backbone.erase(URI, keys[0])
    report = await backbone.replay(notes.consumer, URI)
    assert (report.handled, report.skipped) == ({"note": 1}, {"no-handler": 1, "unknown-event": 1, "erased": 1})
    assert report.events == 4
    for dry_run in (False, True):
        strict = await backbone.replay(notes.consumer, URI, unknown="dead-letter", dry_run=dry_run)
        assert strict.failed == {"unknown-event": 1}
    chosen = await backbone.replay(notes.consumer, URI, events=[ShipmentTracking.packing])
    assert (chosen.handled, chosen.skipped) == ({}, {"no-handler": 1})


async def test_once_means_once_for_all_attempts_within_a_replay(backbone: Backbone) -> None:
    """The next replay produces it again; nothing is kept of it, and it names no group."""
    await backbone.producer(Parcels, uri=URI).packed(1)
    producer, consumer, produced = backbone.producer(Parcels, uri=SENT), Consumer(Parcels), list[EventKey]()

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        produced.append(await producer.sent.using(once="parcel")(number, f"{ctx.attempt}@example.com"))
        if ctx.attempt < 3:
            raise ValueError

    for _ in range(2):
        await backbone.replay(consumer, URI, retry=AT_ONCE)
    assert len(produced) == 6
    found = [event async for event in backbone.reader(SENT).scan()]
    assert [event.key for event in found] == sorted(set(produced))
    assert len(found) == 2
    assert [event.metadata.headers for event in found] == [{}, {}]


async def test_a_rate_spreads_the_events(backbone: Backbone) -> None:
    """At most so many begin in a second."""
    await _note(backbone, 11)
    began = monotonic()
    await backbone.replay(Notes().consumer, URI, rate=100)
    assert monotonic() - began >= 0.1


async def test_a_cancelled_replay_says_how_far_it_is(backbone: Backbone) -> None:
    """The handlers that run are cancelled, and have ended; what was done before is reported."""
    keys, consumer, reports, ended = (
        await _note(backbone, 5),
        Consumer(ShipmentTracking),
        list[ReplayReport](),
        list[str](),
    )
    reached = asyncio.Event()

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        if text == "3":
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(text)

    replaying = asyncio.create_task(backbone.replay(consumer, URI, concurrency=1, on_progress=reports.append))
    await reached.wait()
    replaying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await replaying
    assert ended == ["3"]
    assert (reports[-1].next, reports[-1].handled) == (keys[3], {"note": 3})


async def test_what_is_worse_than_a_failure_ends_the_replay(backbone: Backbone) -> None:
    """Such as a BaseException of a handler, or an error of the callback; neither hangs."""

    class Worse(BaseException):
        """Not a failure of a handler."""

    await _note(backbone, 5)
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        await asyncio.sleep(0)
        raise Worse

    with pytest.raises(Worse):
        await backbone.replay(consumer, URI)

    def fail(_: ReplayReport) -> None:
        raise ValueError("callback")

    with pytest.raises(ValueError, match="callback"):
        await backbone.replay(Notes().consumer, URI, on_progress=fail)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"rate": 0.0}, "rate must be a number of events above 0"),
        ({"on_failure": "ignore"}, "on_failure must be stop or continue, not 'ignore'"),
        ({"start": datetime.fromisoformat("2026-01-01")}, "start must be an aware time"),
        ({"services": object()}, "declares no services"),
    ],
)
async def test_options_that_cannot_work_are_refused(backbone: Backbone, options: dict[str, object], text: str) -> None:
    """One sentence says what would be right, before anything is handled."""
    notes = Notes()
    await _note(backbone, 1)
    with pytest.raises(ConfigurationError, match=text):
        await backbone.replay(notes.consumer, URI, **options)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    assert not notes.calls


@pytest.mark.parametrize("replaying", [True, False])
async def test_a_unit_test_says_whether_the_event_is_replayed(*, replaying: bool) -> None:
    """As a handler sees it; within a task and without one."""
    made = [context(replaying=replaying), await asyncio.to_thread(context, replaying=replaying)]
    assert [each.replaying for each in made] == [replaying, replaying]
