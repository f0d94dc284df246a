"""Our consumer in every race: a typed handler that does nothing, until all events are handled."""

from __future__ import annotations

from datetime import timedelta

from benchmarks.workload import Parcels
from event_backbone import Backbone, Consumer, Context


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
