"""Promise 4 for batch handlers: what loses its lease, loses it alone."""

import asyncio
from datetime import timedelta

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Batch
from event_backbone.errors import LeaseLost
from event_backbone.stream.base import Streams
from event_backbone.stream.values import Lease
from tests.support.batches import LONG, Gathering
from tests.support.crashes import STREAM, steal
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, pack, stopped_within

LEASE = timedelta(seconds=2)


class StuckBatch(Gathering):
    """Handles batches of three until ``release`` is set; ``cancelled`` says that one was cancelled instead."""

    def __init__(self) -> None:
        super().__init__(most=3, within=LONG)
        self.running, self.release, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.batch: Batch[[int]] | None = None
        self.act = self.wait

    async def wait(self, batch: Batch[[int]]) -> None:
        """Wait."""
        self.batch = batch
        self.running.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_promise_4_a_batch_goes_on_without_an_event_whose_lease_is_lost(
    backbone: Backbone, streams: Streams
) -> None:
    """The ack of that one is refused; the others are acked, and their handler is not cancelled."""
    stuck = StuckBatch()
    await pack(backbone, 1, 2, 3)
    async with stopped_within(backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=LEASE)) as subscription:
        await stuck.running.wait()
        first, *_ = await streams.group_admin(STREAM, GROUP).pending(None, 10)
        assert first.consumer is not None
        await streams.group_leases(STREAM, GROUP, first.consumer).ack([Lease(first.key, first.attempt)])
        await eventually(lambda: subscription.in_flight == 2)
        assert stuck.batch is not None
        with pytest.raises(LeaseLost):
            await stuck.batch[0].ctx.ack()
        stuck.release.set()
        await eventually(lambda: subscription.handled == 2)
    assert (stuck.batches, stuck.cancelled.is_set()) == ([[1, 2, 3]], False)


async def test_promise_4_a_batch_that_lost_all_leases_is_cancelled(backbone: Backbone, streams: Streams) -> None:
    """The new holder has the events, and the next batch can begin."""
    stuck = StuckBatch()
    await pack(backbone, 1, 2, 3)
    subscription = backbone.subscribe(stuck.consumer, uri=URI, group=GROUP, lease=LEASE, concurrency=1)
    async with stopped_within(subscription):
        await stuck.running.wait()
        await steal(streams)
        await stuck.cancelled.wait()
        stuck.release.set()
        await pack(backbone, 4, 5, 6)
        await eventually(lambda: subscription.handled == 3)
    assert stuck.batches == [[1, 2, 3], [4, 5, 6]]
