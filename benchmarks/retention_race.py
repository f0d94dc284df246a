"""The race of retention: what it takes to remove events, and what the server's own clocks say of it."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from redis.asyncio import Redis

from benchmarks.measure import Track, by_callers, fixed, race, ratio, table
from benchmarks.results import Table
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone, Retention
from event_backbone.connection import RedisConnection
from event_backbone.model import StreamName
from event_backbone.retention.opening import RetainedStream
from event_backbone.settings import RedisSettings
from event_backbone.storage import RedisHashStorage, StorageScope
from event_backbone.stream.redis import RedisStreams
from tests.support.retention import Rounds

NAME = StreamName.of("parcels", "benchmark")
GROUPS = ("one", "two", "three")
SLOWEST = timedelta(milliseconds=5)
_PAGE = 100
_EVERYTHING = Retention(max_age=timedelta(microseconds=1))


class RetentionWorkload:
    """Events with payloads in hashes that three groups have finished, and the server's view of who removes them."""

    def __init__(self, url: str, connection: RedisConnection, backbone: Backbone, total: int) -> None:
        """Prepare; nothing is produced yet."""
        self._redis = Redis.from_url(url)
        self._connection = connection
        self._backbone = backbone
        self._total = total
        self.server_seconds: dict[str, list[float]] = {"append": [], "retention": []}
        self.slowest: list[float] = []

    async def prepare(self) -> None:
        """Produce the events, and let three groups be at their end."""
        await self._redis.flushall()
        parcels = self._backbone.producer(Parcels, uri=NAME.uri)
        before = await self._script_seconds()
        await by_callers(256, self._total, lambda number: parcels.packing(TEXT, number, TIME))
        self.server_seconds["append"].append(await self._script_seconds() - before)
        for group in GROUPS:
            await self._redis.xgroup_create(NAME.key, group, "$")

    async def retain(self) -> None:
        """Carry out one round of retention, with everything that it looks at."""
        scope = StorageScope(NAME, self._connection)
        storages = {"redis-hash": RedisHashStorage()}
        streams, deduplicate_for = RedisStreams(self._connection), timedelta(minutes=10)
        stream = RetainedStream(
            self._connection, scope, streams, storages, archived=False, deduplicate_for=deduplicate_for
        )
        await self._redis.config_set("slowlog-log-slower-than", 0)
        await self._redis.config_set("slowlog-max-len", 100_000)
        await self._redis.slowlog_reset()
        before = await self._script_seconds()
        removed = await Rounds(stream, _EVERYTHING, timedelta(0)).round()
        assert removed.events == self._total
        self.server_seconds["retention"].append(await self._script_seconds() - before)
        calls = cast("list[dict[str, int]]", await self._redis.slowlog_get(-1))
        self.slowest.append(max(each["duration"] for each in calls) / 1e6)
        await self._redis.config_set("slowlog-log-slower-than", -1)

    async def remove_by_hand(self) -> None:
        """Read pages of 100, and remove each with its hashes by a pipeline; nobody is asked whether it is needed."""
        while page := await self._redis.xrange(NAME.key, count=_PAGE):
            pipeline = self._redis.pipeline(transaction=False)
            rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
            for _, fields in rows:
                pipeline.unlink(NAME.key_of(f"payload:{fields[b'metadata'][7:43].decode()}"))
            pipeline.xdel(NAME.key, *(entry_id for entry_id, _ in rows))
            await pipeline.execute()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def _script_seconds(self) -> float:
        stats = await self._redis.info("commandstats")
        used = [stats.get(f"cmdstat_{name}", {}).get("usec", 0) for name in ("evalsha", "eval")]
        return float(sum(used)) / 1e6


async def retention(url: str, total: int, rounds: int) -> Table:
    """Race retention against a loop by hand, and its server time against that of the appends."""
    connection = RedisConnection(RedisSettings.parse(url))
    async with Backbone(url, environment="benchmark") as backbone:
        work = RetentionWorkload(url, connection, backbone, total)
        ours = Track("retention, three groups", work.retain, total, work.prepare)
        by_hand = Track("XRANGE, UNLINK and XDEL of 100, by hand", work.remove_by_hand, total, work.prepare)
        await race([ours, by_hand], rounds)
        await work.close()
    await connection.close()
    appends = work.server_seconds["append"][2::2]  # those before each round of retention that counts
    removing = work.server_seconds["retention"][1:]
    append = _by_server("append, by the server's clock", appends, total)
    removal = _by_server("retention, by the server's clock", removing, total)
    slowest = _by_server("slowest call of retention, calls a second", work.slowest[1:], 1)
    most = fixed(f"calls of {SLOWEST / timedelta(milliseconds=1):g} ms", timedelta(seconds=1) / SLOWEST, rounds)
    ratios = [ratio(ours, by_hand), ratio(removal, append), ratio(slowest, most, 1.0)]
    title = "Retention, payloads in Redis hashes: removing events that three groups have finished"
    return table("retention", title, [ours, by_hand, append, removal, slowest, most], ratios)


def _by_server(name: str, seconds: list[float], events: int) -> Track:
    """Return rates that the server itself has measured."""

    async def never() -> None:
        """Do nothing: it is measured already."""

    return Track(name, never, events, rates=[events / each for each in seconds])
