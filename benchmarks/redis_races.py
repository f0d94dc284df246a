"""The races on Redis Hash storage: produce by number of callers, and consume."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from benchmarks.by_hand import ByHand
from benchmarks.measure import Track, by_callers, race, ratio, report
from benchmarks.with_faststream import WithFastStream
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Consumer, Context

CALLERS = (1, 16, 64, 256)
FASTSTREAM_CALLERS = 64
"""More concurrent publishes than this fail with the default connection pool of FastStream 0.7."""
URI = "parcels"


async def produce(url: str, total: int, rounds: int) -> str:
    """Race the producers; the handwritten loops do not depend on the number of callers."""
    by_hand, peer = await ByHand.connect(url), WithFastStream(url)
    await peer.start()
    async with Backbone(url, environment="benchmark") as backbone:
        parcels = backbone.producer(Parcels, uri=URI)

        async def send(number: int) -> None:
            await parcels.packing(TEXT, number, TIME)

        def track(name: str, count: int, call: Callable[[int], Awaitable[object]], events: int) -> Track:
            run = partial(by_callers, count, events, call)
            return Track(f"{name}, {count} callers", run, events, by_hand.clear)

        # Each contender finds an empty server, and those that are compared run in turn: the machine changes over time.
        few = max(total // 5, 200)
        ours = {count: track("event_backbone", count, send, _events(count, total)) for count in CALLERS}
        faststream = {
            count: track("FastStream", count, peer.publish, few) for count in CALLERS if count <= FASTSTREAM_CALLERS
        }
        by_script, by_pipeline = partial(by_hand.produce_by_script, total), partial(by_hand.produce_by_pipeline, total)
        script = Track("EVALSHA of 100, by hand", by_script, total, by_hand.clear)
        pipeline = Track("pipeline HSET + XADD of 100, by hand", by_pipeline, total, by_hand.clear)
        tracks = [*(side[count] for count in faststream for side in (ours, faststream)), script, ours[256], pipeline]
        await race(tracks, rounds)
    await peer.stop()
    await by_hand.close()
    ratios = [
        ratio(ours[64], faststream[64], 4.0),
        ratio(ours[16], faststream[16]),
        ratio(ours[1], faststream[1]),
        ratio(ours[256], script, 0.5),
        ratio(ours[64], script),
        ratio(ours[256], pipeline),
    ]
    return report("Produce, Redis Hash storage, 512-byte payload", tracks, ratios)


def _events(callers: int, total: int) -> int:
    return total if callers >= FASTSTREAM_CALLERS else max(total // 5, 200)


async def consume(url: str, total: int, rounds: int) -> str:
    """Race the consumers over the same number of events, each on its own stream, with a new group in each round."""
    by_hand, peer, numbers = await ByHand.connect(url), WithFastStream(url), itertools.count()
    few = max(total // 10, 200)
    await by_hand.clear()
    await by_hand.produce_by_script(total)
    await peer.start()
    await by_callers(FASTSTREAM_CALLERS, total, peer.publish)
    async with Backbone(url, environment="benchmark") as backbone:
        parcels = backbone.producer(Parcels, uri=URI)
        await by_callers(256, total, lambda number: parcels.packing(TEXT, number, TIME))
        ours = Track("event_backbone, typed handler", lambda: _handle_all(backbone, total, next(numbers)), total)
        tracks = [
            ours,
            Track("by hand, payload as bytes", lambda: by_hand.consume(total, typed=False), total, by_hand.fresh_group),
            Track("by hand, typed", lambda: by_hand.consume(total, typed=True), total, by_hand.fresh_group),
            Track("FastStream, one by one", lambda: peer.consume_one_by_one(few, f"group-{next(numbers)}"), few),
            Track("FastStream, batches of 100", lambda: peer.consume_batches(total, f"group-{next(numbers)}"), total),
        ]
        await race(tracks, rounds)
    await peer.stop()
    await by_hand.close()
    wanted = {"by hand, typed": 0.5, "FastStream, one by one": 10.0}
    ratios = [ratio(ours, track, wanted.get(track.name)) for track in tracks[1:]]
    return report("Consume, Redis Hash storage, 512-byte payload", tracks, ratios)


async def _handle_all(backbone: Backbone, total: int, number: int) -> None:
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:
        """Do nothing, as every handler here."""

    async with backbone.subscribe(
        consumer, uri=URI, group=f"group-{number}", max_events=total, drain=timedelta(seconds=5)
    ) as subscription:
        await subscription.wait()
