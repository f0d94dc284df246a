"""The races on S3: SeaweedFS behind a proxy that adds latency, against an object per event by hand."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from benchmarks.by_hand_s3 import IN_FLIGHT, ByHandS3, S3Server
from benchmarks.delay_proxy import DelayProxy
from benchmarks.handling import handle_all
from benchmarks.measure import Track, bound, by_callers, race, ratio, table
from benchmarks.results import Table
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone
from event_backbone.storage import S3Options, S3Storage

LATENCIES_MS = (0, 20, 100)
OUTSTANDING = 4096
"""As many events as a producer has outstanding at most."""

CALLERS = 256
PREFETCH = 4096
_URI = "parcels-s3"
_EVENTS = 4 * OUTSTANDING
_FEW_EVENTS = 16 * IN_FLIGHT
_LONE_SECONDS = 2.0
_SLOW = 0.8


async def produce(url: str, server: S3Server, proxy: DelayProxy, rounds: int) -> list[Table]:
    """Race producing at each latency: with many events outstanding, with 256 callers, and one by one."""
    found = list[Table]()
    by_hand = ByHandS3(url, server)
    async with Backbone(url, storage=storage_on(server), environment="benchmark") as packs, Backbone(url) as hashes:
        await packs.check()
        for latency in LATENCIES_MS:
            proxy.delay(latency)
            found.append(await _produce(packs, hashes, by_hand, latency, rounds))
    await by_hand.close()
    return found


async def _produce(packs: Backbone, hashes: Backbone, by_hand: ByHandS3, latency: int, rounds: int) -> Table:
    lone = int(_LONE_SECONDS * 1000 / (latency + 10))

    def track(name: str, callers: int, events: int, call: Callable[[int], Awaitable[object]]) -> Track:
        noun = "caller" if callers == 1 else "callers"
        return Track(f"{name}, {callers:,} {noun}", partial(by_callers, callers, events, call), events, by_hand.clear)

    ours, append = _call(packs), _call(hashes)
    tracks = [
        many := track("event_backbone", OUTSTANDING, _EVENTS, ours),
        at_once := track("an object per event", OUTSTANDING, OUTSTANDING, by_hand.put),
        few := track("an object per event, 64 at a time", OUTSTANDING, _FEW_EVENTS, by_hand.put_among_few),
        many_appended := track("event_backbone, payloads in Redis", OUTSTANDING, _EVENTS, append),
        packs_put := Track("PUT of a full pack, one by one", partial(by_hand.put_packs, 5), 5),
        some := track("event_backbone", CALLERS, CALLERS * 8, ours),
        some_appended := track("event_backbone, payloads in Redis", CALLERS, CALLERS * 8, append),
        alone := track("event_backbone", 1, lone, ours),
        alone_by_hand := track("one PUT and one XADD", 1, lone, by_hand.put),
    ]
    await race(tracks, rounds)
    most = bound(f"{OUTSTANDING:,} / (PUT + append)", OUTSTANDING, packs_put, many_appended)
    most_of_some = bound(f"{CALLERS} / (PUT + append)", CALLERS, packs_put, some_appended)
    near = latency < 100
    ratios = [
        ratio(many, at_once, 10.0 if near else None),
        ratio(many, few, 10.0 if near else None),
        ratio(many, most, None if near else _SLOW),
        ratio(some, most_of_some, _SLOW),
        ratio(alone, alone_by_hand, 1 / 1.2),
    ]
    return table(f"produce-s3-{latency}", f"Produce, S3 with {latency} ms added", [*tracks, most, most_of_some], ratios)


def _call(backbone: Backbone) -> Callable[[int], Awaitable[object]]:
    parcels = backbone.producer(Parcels, uri=_URI)
    return lambda number: parcels.packing(TEXT, number, TIME)


async def consume(url: str, server: S3Server, proxy: DelayProxy, rounds: int) -> list[Table]:
    """Race consuming at each latency: full packs, against an object per event."""
    found, by_hand, groups = list[Table](), ByHandS3(url, server), itertools.count()
    proxy.delay(0)
    async with _connected(url, server) as backbone:
        await by_callers(OUTSTANDING, _EVENTS, _call(backbone))
    await by_callers(IN_FLIGHT, _FEW_EVENTS, by_hand.put)
    for latency in LATENCIES_MS:
        proxy.delay(latency)
        ours = _FreshConsumer(url, server, groups)
        many = Track("event_backbone, typed handler", ours.run, _EVENTS, ours.prepare)
        one = Track(
            "an object per event, 64 at a time, typed",
            partial(by_hand.consume, _FEW_EVENTS),
            _FEW_EVENTS,
            by_hand.fresh_group,
        )
        await race([many, one], rounds)
        await ours.close()
        title = f"Consume, S3 with {latency} ms added, full packs"
        found.append(table(f"consume-s3-{latency}", title, [many, one], [ratio(many, one, 10.0)]))
    await by_hand.close()
    return found


class _FreshConsumer:
    """A consumer whose cache of packs is empty in each round: it has a storage of that round, connected before."""

    def __init__(self, url: str, server: S3Server, groups: Iterator[int]) -> None:
        self._connect = partial(_connected, url, server)
        self._groups = groups
        self._open = AsyncExitStack()
        self._backbone: Backbone | None = None

    async def prepare(self) -> None:
        await self.close()
        self._backbone = await self._open.enter_async_context(self._connect())

    async def run(self) -> None:
        assert self._backbone is not None
        await handle_all(self._backbone, _URI, f"group-{next(self._groups)}", _EVENTS, IN_FLIGHT, PREFETCH)

    async def close(self) -> None:
        await self._open.aclose()


@asynccontextmanager
async def _connected(url: str, server: S3Server) -> AsyncGenerator[Backbone]:
    async with Backbone(url, storage=storage_on(server), environment="benchmark") as backbone:
        await backbone.check()
        yield backbone


def storage_on(server: S3Server, linger: timedelta = timedelta()) -> S3Storage:
    """Return the storage that the races use: its options are the defaults, except for pack_linger."""
    return S3Storage(replace(options_on(server), pack_linger=linger))


def options_on(server: S3Server, prefix: str = "") -> S3Options:
    """Return the options that lead to this server and prefix."""
    return S3Options(
        bucket=server.bucket,
        endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        region="us-east-1",
        prefix=prefix,
    )
