"""How far a group is behind, as the metrics show it."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.errors import StreamUnavailable
from event_backbone.model import StreamName
from event_backbone.storage.memory import MemoryStorage
from event_backbone.stream.base import Stream
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.values import GroupState
from event_backbone.subscription.monitoring import LagLoop, Monitor
from tests.support.metrics import CountedMetrics
from tests.support.shipment import ShipmentTracking
from tests.support.streams import HeldStream

NAME = StreamName.of("watched", "test")


class SilentStream(HeldStream):
    """A stream that does not answer for the state of its groups."""

    async def groups(self, expected: Collection[str] = (), *, most_counted: int = 1000) -> Sequence[GroupState]:
        """Fail."""
        raise StreamUnavailable("Away.")


def lag_loop(stream: Stream, stopping: asyncio.Event | None = None) -> LagLoop:
    """Return the loop that measures the group."""
    return LagLoop(stream, "group", Monitor(NAME, "group"), stopping or asyncio.Event())


async def test_lag_and_pending_events_of_the_group_are_measured() -> None:
    """Three events, of which the group was given one; another group's numbers are not taken."""
    streams, counted = MemoryStreams(deduplicate_for=timedelta(minutes=1)), CountedMetrics()
    async with Backbone(storage=MemoryStorage(), environment="test", _streams=streams) as backbone:
        producer = backbone.producer(ShipmentTracking, uri="watched")
        for text in "abc":
            await producer.note(text)
        for group in ("group", "other"):
            await streams.group_reader(NAME, group, "consumer").ensure("beginning")
        await streams.group_reader(NAME, "group", "consumer").read(1, timedelta())
        await lag_loop(streams.stream(NAME)).measure()
    age = counted.latest("event_backbone.unread_age", uri="watched", group="group")
    assert 0 <= age < 30
    names = ("lag", "pending", "dead_letters")
    assert [counted.latest(f"event_backbone.{name}", uri="watched", group="group") for name in names] == [2, 1, 0]


async def test_a_stream_that_does_not_answer_ends_nothing() -> None:
    """The loop measures again later, and ends when the subscription stops."""
    stopping = asyncio.Event()
    await lag_loop(SilentStream(MemoryStreams(deduplicate_for=timedelta(minutes=1)).stream(NAME))).measure()
    stopping.set()
    async with asyncio.timeout(1):
        await lag_loop(SilentStream(MemoryStreams(deduplicate_for=timedelta(minutes=1)).stream(NAME)), stopping).run()
