"""What a subscription has in flight, and how much more it may take."""

from time import perf_counter
from typing import cast

import pytest

from event_backbone.consumer import Consumer
from event_backbone.model import EventKey, StreamName
from event_backbone.storage import StorageScope
from event_backbone.stream.values import Delivery, Entry, Lease
from event_backbone.subscription.event_in_flight import InFlight, Stage
from event_backbone.subscription.in_flight import EventsInFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.loading import Loader
from event_backbone.subscription.monitoring import Monitor
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.pace import Pace
from event_backbone.subscription.routes import Route
from event_backbone.subscription.settlement import Settlement
from event_backbone.testing import context
from tests.support.metrics import CountedMetrics
from tests.unit.test_handling import Ship, handling

STREAM = StreamName.of("case")


class Case:
    """What is in flight, filled with deliveries by number; ``ended`` counts the calls at the limit."""

    def __init__(self, options: SubscriptionOptions | None = None) -> None:
        self.ended = 0
        self.in_flight = EventsInFlight(options or SubscriptionOptions(), Monitor(STREAM, "group"), self._end)

    def admit(self, *numbers: int, attempt: int = 1) -> list[InFlight]:
        """Take up the events with these numbers."""
        return self.in_flight.admit([Delivery(Entry(EventKey(number), {}), attempt) for number in numbers])

    def move(self, events: list[InFlight], stage: Stage) -> None:
        """Note how far these have come."""
        for event in events:
            self.in_flight.move(event, stage)

    def work_at(self, pace_seconds: float) -> None:
        """Pretend that a hundred events were handled, one after the other, each in this time."""
        for turn in range(100):
            self.in_flight.pace.began(turn * pace_seconds)
            self.in_flight.pace.ended((turn + 1) * pace_seconds, last=True)

    def _end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize(("pace_seconds", "ahead"), [(10, 1), (1, 1), (0.1, 10), (0.001, 50)])
def test_a_subscription_takes_a_second_of_its_work_ahead(pace_seconds: float, ahead: int) -> None:
    """A slow one leaves the rest to others; a fast one takes up to ``prefetch``, and a look may bring as much again."""
    case = Case(SubscriptionOptions(concurrency=4, prefetch=50))
    assert (case.in_flight.capacity, case.in_flight.look_capacity) == (8, 12)  # before anything is known
    case.work_at(pace_seconds)
    assert case.in_flight.capacity == pytest.approx(4 + ahead, abs=1)
    assert case.in_flight.look_capacity == pytest.approx(min(4 + 2 * ahead, 100), abs=2)


def test_handlers_that_hang_let_nothing_be_taken_ahead() -> None:
    """The pace sinks with the time in which nothing ends; idle times do not count."""
    pace = Pace(concurrency=10)
    pace.began(perf_counter() - 1000)
    assert pace.per_second == pytest.approx(0.01, rel=0.1)
    pace.ended(perf_counter() - 1000, last=True)
    assert pace.per_second > 10


def test_idle_hours_beside_a_handler_that_hangs_are_soon_forgotten() -> None:
    """They look like slow work, as something runs all the time; some hundred events later the pace is right again."""
    pace = Pace(concurrency=10)
    pace.began(0)
    pace.ended(10_000, last=False)
    for turn in range(100):
        pace.ended(10_000 + (turn + 1) / 1000, last=turn == 99)
    assert pace.per_second > 500


def test_more_is_read_when_half_of_what_was_taken_ahead_has_begun() -> None:
    """So many are read at once; a look may bring some meanwhile, so that a busy group begins what is due."""
    case = Case(SubscriptionOptions(concurrency=2, prefetch=10))
    case.work_at(0.01)
    assert case.in_flight.capacity == 12
    events = case.admit(*range(12))
    assert (case.in_flight.capacity, case.in_flight.look_capacity) == (0, 10)
    case.move(events[:6], "running")
    assert case.in_flight.capacity == 0
    case.move(events[6:7], "running")
    case.in_flight.finish(*events[:4])
    assert (case.in_flight.capacity, case.in_flight.look_capacity) == (4, 14)


def test_suspects_take_no_capacity_but_are_bounded() -> None:
    """They run one at a time, so reading goes on beside them; no look brings more than a hundred in the end."""
    case = Case()
    case.move(case.admit(*range(90)), "suspected")
    assert case.in_flight.capacity == 20
    assert case.in_flight.look_capacity == 10
    case.move(case.admit(*range(90, 100)), "suspected")
    assert case.in_flight.look_capacity == 0


def test_what_is_being_acked_leaves_capacity_up_to_a_bound() -> None:
    """Reading goes on while an ack is under way; an ack that takes forever stops it."""
    case = Case(SubscriptionOptions(concurrency=2, prefetch=2))
    first = case.admit(*range(4))
    case.move(first, "settling")
    assert case.in_flight.capacity == 4
    case.move(case.admit(*range(4, 8)), "settling")
    assert case.in_flight.capacity == 0
    case.in_flight.finish(*first)
    assert case.in_flight.capacity == 4


def test_events_that_wait_here_end_reading_at_their_bound() -> None:
    """For a storage, for example: then nothing is taken at all, until one of them goes on."""
    case = Case(SubscriptionOptions(max_waiting=2))
    events = case.admit(1, 2)
    case.move(events, "waiting")
    assert (case.in_flight.blocked, case.in_flight.capacity, case.in_flight.look_capacity) == (True, 0, 0)
    case.move(events[:1], "running")
    assert (case.in_flight.blocked, case.in_flight.capacity) == (False, 19)


def test_events_that_cannot_be_parked_end_reading_but_no_looks() -> None:
    """Only what looks take of the parked frees capacity; an event that is lost here waits for none any more."""
    case = Case(SubscriptionOptions(max_waiting=1))
    events = case.admit(1, 2)
    case.move(events, "waiting")
    case.in_flight.unparked.update(events)
    assert (case.in_flight.full, case.in_flight.blocked, case.in_flight.capacity) == (True, False, 0)
    assert case.in_flight.look_capacity > 0
    for event in events:
        case.in_flight.lose(event)
    assert not case.in_flight.full
    assert case.in_flight.capacity > 0


def test_no_more_are_taken_than_the_limit_leaves() -> None:
    """What is in flight counts, and so do finished ones; the limit is reported once all are finished."""
    case = Case(SubscriptionOptions(max_events=3))
    assert case.in_flight.capacity == 3
    events = case.admit(1, 2, 3)
    assert (case.in_flight.capacity, case.in_flight.look_capacity) == (0, 0)
    case.in_flight.lose(events[0])
    assert (case.in_flight.capacity, case.in_flight.look_capacity) == (1, 1)
    case.in_flight.finish(*events)
    assert (case.in_flight.finished, case.ended, case.in_flight.capacity) == (2, 0, 1)
    case.in_flight.finish(*case.admit(4))
    assert case.ended == 1


def test_a_lost_event_lets_its_payload_go_unless_its_handler_has_it() -> None:
    """It may stand in line for its handler for long, where it no longer counts."""
    case = Case()
    (event,) = case.admit(1)
    event.loaded = LoadedEvent(context(event="packing").metadata, Route(wanted=True, attributes={}), {"email": b"1"})
    assert case.in_flight.memory.try_take([event], [1])
    case.in_flight.lose(event)
    assert (event.loaded.payload, event.loaded_bytes) == (None, 0)


async def test_what_is_lost_before_its_load_begins_is_not_loaded() -> None:
    """A load begins a turn of the event loop after its events have come in."""
    case, loaded = Case(), list[InFlight]()
    loader = Loader(
        StorageScope(STREAM),
        {},
        handling(Consumer(Ship)),
        Monitor(STREAM, "group"),
        settlement=cast("Settlement", None),  # nothing is to be settled
        in_flight=case.in_flight,
    )
    kept, lost = case.admit(1, 2)
    case.in_flight.lose(lost)
    await loader.load([kept, lost], loaded.extend)
    assert loaded == [kept]


def test_an_event_is_in_flight_once() -> None:
    """The same delivery changes nothing; one with another attempt replaces it, whose lease means nothing any more."""
    case, counted = Case(), CountedMetrics()
    (old,) = case.admit(1, attempt=4)
    assert case.admit(1, attempt=4) == []
    (new,) = case.admit(1, attempt=1)
    assert (old.active, old.abandoned, new.active, new.lease) == (False, True, True, Lease(EventKey(1), 1))
    assert list(case.in_flight.events.values()) == [new]
    assert case.in_flight.count("unstarted") == 1
    assert counted.count("event_backbone.lease_lost") == 1


@pytest.mark.parametrize(
    ("attempt", "failures", "ends_alone", "suspicious"),
    [(1, 0, 0, False), (2, 0, 0, False), (3, 0, 0, True), (9, 8, 0, False), (9, 6, 0, True), (2, 0, 1, True)],
)
def test_an_event_is_suspected_after_two_unexplained_ends(
    attempt: int, failures: int, ends_alone: int, suspicious: bool
) -> None:
    """Or after one while it ran alone; recorded failures do not count."""
    event = InFlight(Delivery(Entry(EventKey(1), {}), attempt, failures, ends_alone))
    assert event.suspicious is suspicious
    assert event.attempts == failures + ends_alone + 1
