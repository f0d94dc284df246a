"""How events that are loaded gather into batches."""

from datetime import timedelta
from typing import Any

from event_backbone import Batch, Consumer
from event_backbone.subscription.batches import Batches, EventBatch, Work
from event_backbone.subscription.event_in_flight import InFlight
from event_backbone.subscription.loaded_event import LoadedEvent
from event_backbone.subscription.options import SubscriptionOptions
from event_backbone.subscription.routes import Route
from event_backbone.testing import context
from tests.support.eventually import eventually
from tests.support.parcels import Parcels
from tests.unit.test_in_flight import Case

AT_ONCE, LONG = timedelta(), timedelta(seconds=30)


class Gathering:
    """Batches of one event of up to ``most``; ``ready`` is what was passed on."""

    def __init__(self, most: int, within: timedelta, *, in_order: bool = False, **options: Any) -> None:
        self.case, self.ready = Case(SubscriptionOptions(**options)), list[Work]()
        self.batches = Batches(self.case.in_flight, self.ready.extend, in_order=in_order)
        consumer = Consumer(Parcels)
        consumer.on_batch(Parcels.packed, most=most, within=within)(_handle)
        self.batched = Route(True, {}, batch=consumer.batch_of(Parcels.packed.definition))

    def add(self, *numbers: int, route: Route | None = None) -> list[InFlight]:
        """Take up these events, of the kind that is handled in batches, or as ``route`` says."""
        events = self.case.admit(*numbers)
        for event in events:
            event.loaded = LoadedEvent(context().metadata, route or self.batched, None)
        self.batches.add(events)
        return events

    @property
    def numbers(self) -> list[list[int]]:
        """The events of what is ready."""
        return [
            [event.key.milliseconds for event in (each.events if isinstance(each, EventBatch) else [each])]
            for each in self.ready
        ]


async def _handle(batch: Batch[[int]]) -> None: ...


async def test_a_batch_that_is_due_takes_more_until_it_is_full_or_begins() -> None:
    """So batches grow while the handlers of others run."""
    gathering = Gathering(3, AT_ONCE)
    gathering.add(1)
    await eventually(lambda: gathering.numbers == [[1]])
    gathering.add(2)
    assert gathering.numbers == [[1, 2]]
    gathering.add(3, 4)
    await eventually(lambda: gathering.numbers == [[1, 2, 3], [4]])
    (_, second) = gathering.ready
    assert isinstance(second, EventBatch)
    second.close()
    gathering.add(5)
    await eventually(lambda: gathering.numbers == [[1, 2, 3], [4], [5]])


async def test_in_order_only_what_is_handled_ends_a_batch() -> None:
    """An event without a handler is only acked, so it may go before."""
    gathering = Gathering(10, LONG, in_order=True)
    gathering.add(1)
    gathering.add(2, route=Route(False, {}))
    assert gathering.numbers == [[2]]
    gathering.add(3, route=Route(True, {}))
    assert gathering.numbers == [[2], [1], [3]]
    gathering.add(4)
    gathering.batches.close()


async def test_what_waits_in_a_batch_leaves_capacity_to_fill_it() -> None:
    """It is not taken ahead; it counts when it is due, and as one when it runs. A batch is read ahead at least."""
    gathering = Gathering(50, LONG, concurrency=2, prefetch=1)
    before = gathering.case.in_flight.capacity
    events = gathering.add(*range(49))
    assert gathering.case.in_flight.capacity == before
    events += gathering.add(49)
    assert (len(gathering.ready), gathering.case.in_flight.capacity) == (1, 0)
    gathering.case.in_flight.begin_batch(events)
    assert gathering.case.in_flight.capacity == before - 1
    gathering.case.in_flight.end_batch(events)
    gathering.case.in_flight.finish(*events)
    assert gathering.case.in_flight.capacity == before
