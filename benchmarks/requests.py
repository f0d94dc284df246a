"""How many requests to S3 events take, and what they cost: by rate, ``pack_linger`` and latency, counted in a proxy.

Events come at an even rate, each by its own produce call, and one consumer handles them as they come.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import timedelta

from benchmarks.by_hand_s3 import IN_FLIGHT, S3Server
from benchmarks.delay_proxy import DelayProxy
from benchmarks.results import Requests
from benchmarks.s3_races import LATENCIES_MS, storage_on
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Consumer, Context

RATES = (10, 100, 1000, 5000)
LINGERS_MS = (0, 50, 200)

PUT_DOLLARS, GET_DOLLARS = 0.005 / 1000, 0.0004 / 1000
PRICES = "S3 Standard, us-east-1, list price of November 2026: $0.005 per 1,000 PUT, $0.0004 per 1,000 GET"
WANTED_SHARE, WANTED_RATE, WANTED_LINGER_MS = 0.01, 1000, 200
"""At this rate and ``pack_linger``, as many requests as an object per event takes."""

_MILLION = 1_000_000
_SECONDS = 2.0
_TICK_SECONDS = 0.001
_WITHIN_SECONDS = 60


async def count(url: str, server: S3Server, proxy: DelayProxy) -> list[Requests]:
    """Count every combination, one after the other."""
    found = list[Requests]()
    for number, (latency, linger, rate) in enumerate(itertools.product(LATENCIES_MS, LINGERS_MS, RATES)):
        proxy.delay(latency)
        events = int(rate * _SECONDS)
        put, get = await _count(url, server, proxy, f"parcels-{number}", timedelta(milliseconds=linger), rate, events)
        found.append(Requests(rate, linger, latency, events, put, get))
    return found


async def _count(  # noqa: PLR0917 - one combination
    url: str, server: S3Server, proxy: DelayProxy, uri: str, linger: timedelta, rate: int, events: int
) -> tuple[int, int]:
    consumer, handled = Consumer(Parcels), asyncio.Semaphore(0)

    @consumer.on(Parcels.packing)
    async def handle(ctx: Context, email: str, product_id: int, time: object) -> None:  # noqa: ARG001
        handled.release()

    async with Backbone(url, storage=storage_on(server, linger), environment="requests") as backbone:
        parcels = backbone.producer(Parcels, uri=uri)
        async with backbone.subscribe(consumer, uri=uri, group="requests", concurrency=IN_FLIGHT):
            await parcels.packing(TEXT, 0, TIME)  # the first one also asks whose bucket it is
            await handled.acquire()
            proxy.requests()
            await _produce(parcels, rate, events)
            async with asyncio.timeout(_WITHIN_SECONDS):
                for _ in range(events):
                    await handled.acquire()
            return proxy.requests()


async def _produce(parcels: Parcels, rate: int, events: int) -> None:
    """Begin calls at this rate, whether or not earlier ones have returned."""
    loop = asyncio.get_running_loop()
    started, begun = loop.time(), 0
    async with asyncio.TaskGroup() as calls:
        while begun < events:
            due = min(int((loop.time() - started) * rate) + 1, events)
            for number in range(begun, due):
                calls.create_task(parcels.packing(TEXT, number, TIME))
            begun = due
            await asyncio.sleep(_TICK_SECONDS)


def requests_per_million(counted: Requests) -> float:
    """Return the requests for a million events."""
    return (counted.put + counted.get) / counted.events * _MILLION


def dollars_per_million(counted: Requests) -> float:
    """Return the price of a million events."""
    return (counted.put * PUT_DOLLARS + counted.get * GET_DOLLARS) / counted.events * _MILLION


def object_per_event() -> Requests:
    """Return what an object per event takes: one PUT and one GET."""
    return Requests(0, 0, 0, 1, 1, 1)


def report(counted: Sequence[Requests]) -> str:
    """Return the table as text, and whether what is wanted is reached."""
    baseline = requests_per_million(object_per_event())
    lines = [f"Requests to S3 and dollars for a million events ({PRICES})"]
    lines.append(f"  an object per event: {baseline:,.0f} requests, ${dollars_per_million(object_per_event()):.2f}")
    for each in counted:
        requests = requests_per_million(each)
        lines.append(
            f"  {each.rate:>5,} events/s   pack_linger {each.linger_ms:>3} ms   {each.latency_ms:>3} ms added   "
            f"{each.put:>6,} PUT {each.get:>6,} GET of {each.events:>6,}   {requests:>9,.0f} requests   "
            f"${dollars_per_million(each):.2f}"
        )
        if (each.rate, each.linger_ms) == (WANTED_RATE, WANTED_LINGER_MS):
            verdict = "reached" if requests <= WANTED_SHARE * baseline else "NOT reached"
            lines.append(f"    1/{baseline / requests:.0f} of an object per event, wanted 1/100: {verdict}")
    return "\n".join(lines)
