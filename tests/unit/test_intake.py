"""Taking events up: looking, comparing and reading, and when a handler may begin."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic, time

import pytest

from event_backbone.errors import GroupMissing, StreamError, StreamUnavailable
from event_backbone.model import StreamName, new_event_id
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.memory.group_reader import MemoryGroupReader
from event_backbone.stream.values import Comparison, Lease, Look, NewEntry
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.intake import Intake
from event_backbone.subscription.member import Member
from event_backbone.subscription.monitoring import Monitor, StartCheck
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.outage import Outage
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics

STREAM = StreamName.of("intake")
NO_WAIT = timedelta(0)
LEASE = timedelta(seconds=10)


class HeldReader(MemoryGroupReader):
    """The reader of "me"; its calls end only while ``looks``, ``comparisons`` and ``wakings`` are set."""

    def __init__(self, streams: MemoryStreams) -> None:
        super().__init__(streams.log(STREAM), "group", "me")
        self.looks, self.comparisons = asyncio.Event(), asyncio.Event()
        self.looks.set()
        self.comparisons.set()
        self.wakings = asyncio.Event()
        self.wakings.set()
        self.asked = 0.0

    async def look(self, lease: timedelta, limit: int) -> Look:
        """Look, and answer when allowed to."""
        self.asked = monotonic()
        look = await super().look(lease, limit)
        await self.looks.wait()
        return look

    async def compare(self, in_flight: Collection[Lease]) -> Comparison:
        """Compare, and answer when allowed to."""
        comparison = await super().compare(in_flight)
        await self.comparisons.wait()
        return comparison

    async def wake(self) -> None:
        """Wake, and return when allowed to."""
        await super().wake()
        await self.wakings.wait()


class Case:
    """The intake of one member on a stream in memory whose clock is stopped, and what it has taken up."""

    def __init__(self, lease: timedelta = LEASE) -> None:
        self.now = time()
        self.streams = MemoryStreams(wall=lambda: self.now)
        self.reader = HeldReader(self.streams)
        self.other = self.streams.group_reader(STREAM, "group", "other")
        monitor = Monitor(STREAM, "group")
        self.in_flight = EventsInFlight(SubscriptionOptions(), monitor, lambda: None)
        self.member = Member(self.reader, self.in_flight, monitor, lease)
        self.taken: list[InFlight] = []
        self.could_begin: list[bool] = []
        self.finishing = False
        self.looked = asyncio.Event()
        self.stopping = asyncio.Event()
        self.intake = Intake(
            self.member,
            self.streams.group_leases(STREAM, "group", "me"),
            self.in_flight,
            Outage(monitor),
            monitor,
            group="group",
            route=self._route,
            resume=self._resume,
            start="beginning",
            start_check=StartCheck(self.streams.stream(STREAM), monitor, archived=False),
            stopping=self.stopping,
        )

    async def append(self, count: int) -> None:
        """Append events, and create the group."""
        await self.streams.stream(STREAM).append([NewEntry(new_event_id(), b"{}") for _ in range(count)])
        await self.reader.ensure("beginning")

    async def release_to_the_group(self, count: int) -> None:
        """Let another member read this many events and release them: they are due now."""
        deliveries = await self.other.read(count, NO_WAIT)
        leases = [Lease(each.entry.key, each.attempt) for each in deliveries]
        await self.streams.group_leases(STREAM, "group", "other").release(leases)

    async def have_taken(self, count: int) -> None:
        """Wait until this many events were taken up."""
        await eventually(lambda: len(self.taken) == count)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Intake]:
        """Run the intake for the time of the block, and end it as a subscription does."""
        running = asyncio.create_task(self.intake.run())
        await self.intake.started.wait()
        yield self.intake
        self.stopping.set()
        self.in_flight.wake()
        async with asyncio.timeout(5):
            await self.reader.wake()
            await running

    def _route(self, events: Sequence[InFlight]) -> None:
        self.taken.extend(events)
        self.could_begin.append(self.member.may_begin())
        if self.finishing:
            self.in_flight.finish(*events)

    def _resume(self) -> None:
        self.looked.set()


async def test_events_of_a_lost_answer_are_found_once_with_their_attempt_unchanged() -> None:
    """They had been delivered to this member, which knew nothing of them; the first comparison takes them up."""
    case = Case()
    await case.append(3)
    await case.reader.read(2, NO_WAIT)
    async with case.running():
        await case.have_taken(3)
    assert [(event.key, event.attempt) for event in case.taken] == [(key, 1) for key in case.streams.log(STREAM).keys]


async def test_nothing_begins_when_the_last_answered_look_was_sent_half_a_lease_ago() -> None:
    """An answer that took that long allows nothing either; the next one in time does."""
    case = Case(timedelta(milliseconds=400))
    await case.append(2)
    (delivery,) = await case.other.read(1, NO_WAIT)
    async with case.running() as intake:
        assert case.member.may_begin()
        await case.have_taken(1)
        case.reader.looks.clear()
        await case.streams.group_leases(STREAM, "group", "other").release([Lease(delivery.entry.key, 1)])
        await eventually(lambda: not case.member.may_begin() and monotonic() > case.reader.asked + 0.2)
        assert not intake.ready
        case.reader.looks.set()
        await case.have_taken(2)
        await eventually(case.member.may_begin)
    assert case.could_begin == [True, False]


async def test_a_member_whose_row_had_ended_compares_before_anything_begins() -> None:
    """Others may have taken what it has in flight: that is dropped, and nothing begins until it is known."""
    case, counted = Case(), CountedMetrics()
    await case.append(2)
    async with case.running():
        await case.have_taken(2)
        case.now += 11
        for _ in range(2):  # nobody had looked for long, so nothing is taken for half a lease
            assert (await case.other.look(LEASE, 1)).deliveries == ()
            case.now += 3
        (taken,) = (await case.other.look(LEASE, 1)).deliveries
        case.reader.comparisons.clear()
        case.member.look_after(NO_WAIT)
        await eventually(lambda: not case.member.may_begin())
        assert [event.active for event in case.taken] == [True, True]
        case.reader.comparisons.set()
        await eventually(case.member.may_begin)
    assert taken.entry.key == case.taken[0].key
    assert [event.active for event in case.taken] == [False, True]
    assert counted.count("event_backbone.lease_lost") == 1


async def test_a_comparison_finds_every_difference() -> None:
    """What others have, what was delivered again, what only the server knows, and what has left the stream."""
    case, counted = Case(), CountedMetrics()
    await case.append(4)
    async with case.running():
        await case.have_taken(4)
        kept, lost, again, settling = case.taken
        pending = case.streams.log(STREAM).group("group").pending
        case.in_flight.move(settling, "settling")
        pending[lost.key].consumer = pending[settling.key].consumer = "other"
        pending[again.key].attempt = 2
        await case.streams.stream(STREAM).append([NewEntry(new_event_id(), b"{}") for _ in range(2)])
        unknown, gone = await case.reader.read(2, NO_WAIT)
        case.streams.remove_entry(STREAM, gone.entry.key)
        case.streams.log(STREAM).membership("group").rows.clear()
        case.member.look_after(NO_WAIT)
        await case.have_taken(6)
    assert [event.active for event in (kept, lost, again, settling)] == [True, False, False, True]
    assert [event.lease for event in case.taken[4:]] == [Lease(again.key, 2), Lease(unknown.entry.key, 1)]
    assert [counted.count(f"event_backbone.{name}") for name in ("lease_lost", "vanished", "redelivered")] == [2, 1, 1]


async def test_what_is_due_is_looked_for_at_its_time() -> None:
    """Not at the next look, which may be a second away: a read that waits is ended."""
    case = Case()
    await case.append(1)
    await case.other.read(1, NO_WAIT)
    (key,) = case.streams.log(STREAM).keys
    async with case.running():
        case.looked.clear()
        await case.looked.wait()
        begun = monotonic()
        await case.streams.group_leases(STREAM, "group", "other").release([Lease(key, 1)])
        case.member.look_after(timedelta(milliseconds=50))
        await case.have_taken(1)
    assert monotonic() - begun < 0.6


async def test_a_waking_that_takes_long_keeps_no_later_read_from_being_woken() -> None:
    """Its answer may be on its way while the member reads again and the next event is parked."""
    case = Case()
    case.reader.wakings.clear()
    await case.append(2)
    keys = [delivery.entry.key for delivery in await case.other.read(2, NO_WAIT)]
    async with case.running():
        case.looked.clear()
        await case.looked.wait()
        begun = monotonic()
        for count, key in enumerate(keys, start=1):
            await case.streams.group_leases(STREAM, "group", "other").release([Lease(key, 1)])
            case.member.look_after(timedelta(milliseconds=50))
            await case.have_taken(count)
        took = monotonic() - begun
        case.reader.wakings.set()
    assert took < 0.8


async def test_many_due_events_are_taken_as_fast_as_they_are_handled() -> None:
    """Not one look per second: while a look reports more, and there is capacity, the next one follows."""
    case = Case()
    case.finishing = True
    await case.append(300)
    await case.release_to_the_group(300)
    begun = monotonic()
    async with case.running():
        await case.have_taken(300)
    assert monotonic() - begun < 5


@pytest.mark.parametrize("error", [StreamUnavailable("Away."), GroupMissing("Gone.")])
async def test_keeping_the_lease_while_redis_is_away_does_not_run_hot(error: StreamError) -> None:
    """Handlers that finish during a stop would get no turn."""
    case, looks = Case(), 0

    async def look(lease: timedelta, limit: int) -> Look:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        raise error

    case.stopping.set()
    case.reader.look = look  # type: ignore[method-assign]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await case.intake.keep_lease()
    assert 1 < looks < 20
