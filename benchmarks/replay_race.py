"""The race of a replay with a subscription, over the same events and with handlers that do nothing."""

from __future__ import annotations

import itertools
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from benchmarks.by_hand_s3 import S3Server
from benchmarks.delay_proxy import DelayProxy
from benchmarks.handling import handle_all
from benchmarks.measure import Track, by_callers, race, ratio, table
from benchmarks.results import Table
from benchmarks.s3_races import OUTSTANDING, options_on
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Consumer, Context, EventKey
from event_backbone.archive import S3Archive

EVENTS = 20_000
URI = "parcels"
_SHARE = 0.9


async def replay(url: str, server: S3Server, proxy: DelayProxy, rounds: int) -> list[Table]:
    """Race a replay from the stream, and one from the archive, with a subscription that reads the stream."""
    proxy.delay(0)
    groups, archive = itertools.count(), S3Archive(options_on(server, "replayed"))
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(Backbone(url, environment="whole"))
        archived = await stack.enter_async_context(Backbone(url, archive=archive, environment="trimmed"))
        for backbone in (plain, archived):
            await by_callers(OUTSTANDING, EVENTS, partial(_send, backbone.producer(Parcels, uri=URI)))
        async with archived.archiver(URI) as archiver:
            await archiver.commit()
        await archived.trim(URI, before=EventKey(2**63))

        async def consume() -> None:
            await handle_all(plain, URI, f"group-{next(groups)}", EVENTS)

        tracks = [
            subscription := Track("subscription", consume, EVENTS),
            from_stream := Track("replay from the stream", partial(_replay, plain), EVENTS),
            from_archive := Track("replay from the archive", partial(_replay, archived), EVENTS),
        ]
        await race(tracks, rounds)
    ratios = [ratio(from_stream, subscription, _SHARE), ratio(from_archive, subscription, _SHARE)]
    return [table("replay", "Replay", tracks, ratios)]


async def _replay(backbone: Backbone) -> None:
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:
        """Do nothing, as every handler here."""

    report = await backbone.replay(consumer, URI)
    assert report.handled == {"packing": EVENTS}
    assert report.took > timedelta()


async def _send(parcels: Parcels, number: int) -> None:
    await parcels.packing(TEXT, number, TIME)
