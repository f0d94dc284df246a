"""What tests of outcomes share: another team's events, one event handled until it is finished, and its dead letter."""

from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer
from event_backbone.contract import Contract, event
from event_backbone.dead_letters import DeadEvent
from event_backbone.policy import RetryPolicy
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, run_to_the_end

AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())


class OtherParcels(Contract):
    """Another team's contract for the same stream."""

    @event
    def packed(self, number: str) -> None:
        """The same event, with an argument of another type."""

    @event(name="packed", version=2)
    def packed_2(self, number: int) -> None:
        """A version that the consumer does not know."""

    @event
    def burnt(self, number: int) -> None:
        """An event that the consumer does not know."""


async def handle_one(backbone: Backbone, consumer: Consumer[Parcels], retry: RetryPolicy = AT_ONCE) -> None:
    """Handle one event until it is finished."""
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))


async def letters(backbone: Backbone) -> list[DeadEvent]:
    """Return the dead letters of the group."""
    return [each async for each in backbone.dead_letters(URI, GROUP).list()]


async def assert_dead(backbone: Backbone, counted: CountedMetrics, reason: str) -> None:
    """The one event is a dead letter for this reason, acked, and counted."""
    assert [each.reason for each in await letters(backbone)] == [reason]
    assert counted.count("event_backbone.dead_lettered", reason=reason, uri=URI, group=GROUP) == 1
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def assert_skipped(backbone: Backbone, counted: CountedMetrics, reason: str, name: str) -> None:
    """The one event is acked, counted as skipped for this reason, and no dead letter."""
    assert await letters(backbone) == []
    assert counted.count("event_backbone.skipped", reason=reason, uri=URI, group=GROUP, event=name) == 1
    (state,) = await backbone.groups(URI)
    assert (state.pending, state.unread) == (0, 0)


async def parked(backbone: Backbone) -> bool:
    """Return whether an event is parked."""
    (state,) = await backbone.groups(URI)
    return state.parked == 1
