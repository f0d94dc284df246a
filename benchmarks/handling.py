"""Our consumers in the races: typed handlers that do nothing, until all events are handled."""

from __future__ import annotations

from datetime import datetime, timedelta

from benchmarks.workload import Parcels
from event_backbone import Backbone, Batch, Consumer, Context


async def handle_all(  # noqa: PLR0917 - two options of subscribe, as every race has them
    backbone: Backbone, uri: str, group: str, total: int, concurrency: int = 10, prefetch: int = 200
) -> None:
    """Handle so many events of a URI in this group."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:
        """Do nothing, as every handler here."""

    async with backbone.subscribe(
        consumer,
        uri=uri,
        group=group,
        concurrency=concurrency,
        prefetch=prefetch,
        max_events=total,
        drain=timedelta(seconds=5),
    ) as subscription:
        await subscription.wait()


async def handle_batches(backbone: Backbone, uri: str, group: str, total: int) -> None:
    """Handle so many events of a URI in this group by a batch handler that does nothing, up to 100 at a time."""
    consumer = Consumer(Parcels)

    @consumer.on_batch(Parcels.packing, most=100)
    async def handle(batch: Batch[[str, int, datetime]]) -> None:
        """Do nothing."""

    async with backbone.subscribe(
        consumer, uri=uri, group=group, max_events=total, drain=timedelta(seconds=5)
    ) as subscription:
        await subscription.wait()
