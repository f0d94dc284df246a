"""The races on Redis: produce by number of callers, consume, also in batches and what is in the entries themselves."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial

from benchmarks.by_hand import ByHand
from benchmarks.handling import handle_all, handle_batches
from benchmarks.measure import Track, by_callers, race, ratio, table, wanted
from benchmarks.results import Table
from benchmarks.with_faststream import WithFastStream
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone
from event_backbone.storage import RedisHashStorage

CALLERS = (1, 16, 64, 256)
FASTSTREAM_CALLERS = 64
"""More concurrent publishes than this fail with the default connection pool of FastStream 0.7."""
URI = "parcels"


async def produce(url: str, total: int, rounds: int) -> Table:
    """Race the producers; the handwritten loops do not depend on the number of callers."""
    by_hand, peer = await ByHand.connect(url), WithFastStream(url)
    await peer.start()
    async with Backbone(url, environment="benchmark") as backbone:
        parcels = backbone.producer(Parcels, uri=URI)

        async def send(number: int) -> None:
            await parcels.packing(TEXT, number, TIME)

        def track(name: str, count: int, call: Callable[[int], Awaitable[object]], events: int) -> Track:
            run = partial(by_callers, count, events, call)
            return Track(f"{name}, {count} caller{'s' if count > 1 else ''}", run, events, by_hand.clear)

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
        ratio(ours[1], faststream[1], 0.95),
        ratio(ours[16], faststream[16]),
        ratio(ours[64], faststream[64], wanted(6.0, 5.0)),
        ratio(ours[64], script),
        ratio(ours[256], script, wanted(0.8, 0.7)),
        ratio(ours[256], pipeline),
    ]
    return table("produce", "Produce, payloads in Redis hashes", tracks, ratios)


def _events(callers: int, total: int) -> int:
    return total if callers >= FASTSTREAM_CALLERS else max(total // 5, 200)


async def consume(url: str, total: int, rounds: int) -> Table:
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
        ours = Track("event_backbone, typed handler", partial(_handle, backbone, numbers, total), total)
        by_script = Track("by hand, typed", lambda: by_hand.consume(total, typed=True), total, by_hand.fresh_group)
        single = Track("FastStream, one by one", lambda: peer.consume_one_by_one(few, f"group-{next(numbers)}"), few)
        tracks = [
            ours,
            by_script,
            Track("by hand, payload as bytes", lambda: by_hand.consume(total, typed=False), total, by_hand.fresh_group),
            single,
            Track("FastStream, batches of 100", lambda: peer.consume_batches(total, f"group-{next(numbers)}"), total),
        ]
        await race(tracks, rounds)
    await peer.stop()
    await by_hand.close()
    targets = {by_script.name: wanted(0.7, 0.6), single.name: wanted(16.0, 12.0)}
    ratios = [ratio(ours, track, targets.get(track.name)) for track in tracks[1:]]
    return table("consume", "Consume, payloads in Redis hashes", tracks, ratios)


async def batches(url: str, total: int, rounds: int) -> Table:
    """Race a batch handler, a handler of single events, and FastStream's batch subscriber, over the same events."""
    peer, numbers = WithFastStream(url), itertools.count()
    await peer.start()
    await by_callers(FASTSTREAM_CALLERS, total, peer.publish)
    async with Backbone(url, environment="benchmark") as backbone:
        await by_callers(256, total, partial(_send, backbone.producer(Parcels, uri=URI)))
        ours = Track(
            "event_backbone, batches of 100",
            lambda: handle_batches(backbone, URI, f"group-{next(numbers)}", total),
            total,
        )
        single = Track("event_backbone, one by one", partial(_handle, backbone, numbers, total), total)
        theirs = Track(
            "FastStream, batches of 100", lambda: peer.consume_batches(total, f"group-{next(numbers)}"), total
        )
        await race([ours, single, theirs], rounds)
    await peer.stop()
    ratios = [ratio(ours, single, 1.3), ratio(ours, theirs, 1.2)]
    return table("batches", "Consume in batches, payloads in Redis hashes", [ours, single, theirs], ratios)


async def inline(url: str, total: int, rounds: int) -> Table:
    """Race two consumers of the same events: payloads in hashes, and in the entries of the stream."""
    numbers, tracks = itertools.count(), list[Track]()
    names = {"payloads in Redis hashes": RedisHashStorage(), "inline": RedisHashStorage(inline_up_to_bytes=1024)}
    async with AsyncExitStack() as stack:
        for name, storage in names.items():
            backbone = await stack.enter_async_context(Backbone(url, storage=storage, environment=name.split()[0]))
            await by_callers(256, total, partial(_send, backbone.producer(Parcels, uri=URI)))
            run = partial(_handle, backbone, numbers, total)
            tracks.append(Track(f"event_backbone, {name}", run, total))
        await race(tracks, rounds)
    hashes, entries = tracks
    return table("inline", "Consume, payloads inline", tracks, [ratio(entries, hashes, 1.2)])


async def _send(parcels: Parcels, number: int) -> None:
    await parcels.packing(TEXT, number, TIME)


async def _handle(backbone: Backbone, numbers: Iterator[int], total: int) -> None:
    await handle_all(backbone, URI, f"group-{next(numbers)}", total)
