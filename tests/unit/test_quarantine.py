"""Suspects, and a stop that comes at the worst moment."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.model import EventKey, StreamName
from event_backbone.storage.memory import MemoryStorage
from event_backbone.stream.memory import MemoryStreams
from event_backbone.stream.memory.leases import MemoryGroupLeases
from event_backbone.stream.memory.log import Log
from event_backbone.stream.values import Lease
from event_backbone.wire.keys import WAITING_CONSUMER
from tests.support.parcels import GROUP, URI, Remembering, pack, stopped_within

STREAM = StreamName.of(URI, "test")


class HeldMarks(MemoryGroupLeases):
    """Leases whose marks are made when ``go_on`` is set."""

    def __init__(self, log: Log, group: str, member: str) -> None:
        super().__init__(log, group, member)
        self.marking, self.go_on = asyncio.Event(), asyncio.Event()

    async def mark_alone(self, lease: Lease) -> frozenset[EventKey]:
        """Wait, then mark."""
        self.marking.set()
        await self.go_on.wait()
        return await super().mark_alone(lease)


class HeldStreams(MemoryStreams):
    """Streams that remember the leases they opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[HeldMarks] = []

    def group_leases(self, name: StreamName, group: str, member: str) -> HeldMarks:
        """Open leases whose marks can be delayed."""
        self.opened.append(HeldMarks(self.log(name), group, member))
        return self.opened[-1]


async def suspect(streams: MemoryStreams, keys: Sequence[EventKey]) -> None:
    """Pretend that two members ended with these events in flight; they are due now."""
    reader = streams.group_reader(STREAM, GROUP, "dead")
    await reader.ensure("beginning")
    await reader.read(len(keys), timedelta(0))
    log = streams.log(STREAM)
    for key in keys:
        log.group(GROUP).pending[key].consumer = WAITING_CONSUMER
        log.group(GROUP).pending[key].attempt = 2
        log.membership(GROUP).due[key] = 0


async def test_a_suspect_does_not_begin_after_a_stop() -> None:
    """Not even when it was being marked at that moment; it goes back, its mark taken away and its attempt too."""
    streams, remembering = HeldStreams(), Remembering()
    async with Backbone(storage=MemoryStorage(), environment="test", _streams=streams) as backbone:
        await pack(backbone, 1)
        (key,) = streams.log(STREAM).keys
        await suspect(streams, [key])
        subscription = backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)
        async with stopped_within(subscription):
            (leases,) = streams.opened
            await leases.marking.wait()
            subscription.stop()
            leases.go_on.set()
            await subscription.wait()
        (entry,) = await backbone.pending(URI, GROUP)
    assert remembering.numbers == []
    assert (entry.consumer, entry.attempt) == (None, 2)
    (delivery,) = (await streams.group_reader(STREAM, GROUP, "next").look(timedelta(seconds=60), 1)).deliveries
    assert (delivery.attempt, delivery.ends_alone) == (3, 0)
