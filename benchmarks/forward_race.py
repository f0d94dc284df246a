"""The race of forwarding: from one Redis to another, against a loop by hand that remembers nothing."""

from __future__ import annotations

from typing import cast

from redis.asyncio import Redis

from benchmarks.measure import Track, by_callers, fixed, race, ratio, table
from benchmarks.results import Table
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone
from event_backbone.storage import RedisHashStorage
from event_backbone.testing.servers import RedisServer

URI = "parcels"
WANTED = 15_000
_PAGE = 500
_INLINE_BYTES = 4096


class ForwardWorkload:
    """Events with inline payloads on one server, and another one that is empty before each run."""

    def __init__(self, url: str, other: str, source: Backbone, target: Backbone, total: int) -> None:
        """Prepare; nothing is produced yet."""
        self._redis, self._other = Redis.from_url(url), Redis.from_url(other)
        self._source, self._target = source, target
        self._total = total

    async def produce(self) -> None:
        """Produce the events, once for all runs."""
        parcels = self._source.producer(Parcels, uri=URI)
        await by_callers(256, self._total, lambda number: parcels.packing(TEXT, number, TIME))

    async def prepare(self) -> None:
        """Empty the target."""
        await self._other.flushall()

    async def forward(self) -> None:
        """Forward all events."""
        async with self._source.forwarder(URI, to=self._target, follow=False) as forwarder:
            await forwarder.wait()
            assert forwarder.handled == self._total

    async def copy_by_hand(self) -> None:
        """Read pages of 500, and add each with one pipeline; after a crash nobody knows what is there already."""
        after = b"-"
        while page := await self._redis.xrange("benchmark:parcels", min=after, count=_PAGE):
            rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
            pipeline = self._other.pipeline(transaction=False)
            for _, fields in rows:
                pipeline.execute_command(
                    "XADD", "benchmark:parcels", "*", *(part for pair in fields.items() for part in pair)
                )
            await pipeline.execute()
            after = b"(" + rows[-1][0]

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        await self._other.aclose()


async def forward(url: str, total: int, rounds: int) -> Table:
    """Race a forwarder against a loop by hand, between two servers."""
    with RedisServer() as other:
        here = Backbone(url, storage=_storage(), environment="benchmark", site="one")
        there = Backbone(other.url, storage=_storage(), environment="benchmark", site="two")
        async with here as source, there as target:
            work = ForwardWorkload(url, other.url, source, target, total)
            await work.produce()
            ours = Track("forwarder", work.forward, total, work.prepare)
            by_hand = Track("XRANGE and XADD of 500, by hand", work.copy_by_hand, total, work.prepare)
            await race([ours, by_hand], rounds)
            await work.close()
    wanted = fixed(f"{WANTED:,} events a second", WANTED, rounds)
    ratios = [ratio(ours, by_hand), ratio(ours, wanted, 1.0)]
    return table("forward", "Forwarding between two Redis, inline payloads", [ours, by_hand], ratios)


def _storage() -> RedisHashStorage:
    return RedisHashStorage(inline_up_to_bytes=_INLINE_BYTES)
