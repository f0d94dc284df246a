"""The race of a migration with a loop by hand that copies and does not look again, and how long Redis stands still."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks.by_hand_s3 import S3Server, store_on
from benchmarks.delay_proxy import DelayProxy
from benchmarks.measure import Track, by_callers, fixed, race, ratio, table
from benchmarks.results import Table
from benchmarks.s3_races import OUTSTANDING, options_on
from benchmarks.workload import TEXT, TIME, Parcels
from event_backbone import Backbone
from event_backbone.model import StreamName
from event_backbone.storage import RedisHashStorage, S3Storage

if TYPE_CHECKING:
    from redis.typing import EncodableT, FieldT

EVENTS = 20_000
PENDING = 5_000
LONGEST = timedelta(milliseconds=50)
NAME = StreamName.of("parcels", "benchmark")
_PAGE = 250
_COPY = "by-hand"


class MigrationWorkload:
    """Events with payloads in hashes, some of them pending, and what the server says of the longest call."""

    def __init__(self, url: str, server: S3Server, before: Backbone, backbone: Backbone) -> None:
        """Prepare; nothing is produced yet."""
        self._redis = Redis.from_url(url)
        self._store = store_on(server)
        self._before = before
        self._backbone = backbone
        self.longest: list[float] = []

    async def prepare(self) -> None:
        """Produce the events, and let a group have read some."""
        await self._redis.flushall()
        parcels = self._before.producer(Parcels, uri=NAME.uri)
        await by_callers(OUTSTANDING, EVENTS, lambda number: parcels.packing(TEXT, number, TIME))
        await self._redis.xgroup_create(NAME.key, "group", "0")
        await self._redis.xreadgroup("group", "one", {NAME.key: ">"}, count=PENDING)
        await self._redis.slowlog_reset()
        await self._redis.config_set("slowlog-log-slower-than", 500)

    async def migrate(self) -> None:
        """Move the payloads, each compared with its original."""
        report = await self._backbone.migrate(NAME.uri, away_from="redis-hash")
        assert report.moved == EVENTS
        await self._redis.config_set("slowlog-log-slower-than", -1)
        calls = cast("list[dict[str, int]]", await self._redis.slowlog_get(-1))
        self.longest.append(max(each["duration"] for each in calls) / 1e6)

    async def copy_by_hand(self) -> None:
        """Copy pages of 250, each into one object, and add entries that refer to it to another stream."""
        after = "0-0"
        while page := await self._redis.xrange(NAME.key, min=f"({after}", count=_PAGE):
            rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", page)
            ids = [fields[b"metadata"][7:43].decode() for _, fields in rows]
            pipeline = self._redis.pipeline(transaction=False)
            for event_id in ids:
                pipeline.hgetall(NAME.key_of(f"payload:{event_id}"))
            hashes = cast("list[dict[bytes, bytes]]", await pipeline.execute())
            place = f"by-hand/{uuid4().hex}"
            lines = [b",".join(b"%s:%s" % pair for pair in each.items()) for each in hashes]
            await self._store.put_async(place, b"\n".join(lines), mode="create", use_multipart=False)
            for number, (entry_id, fields) in enumerate(rows):
                metadata = {**json.loads(fields[b"metadata"]), "payload": [place, number]}
                moved = {**fields, b"metadata": json.dumps(metadata).encode()}
                pipeline.xadd(_COPY, cast("dict[FieldT, EncodableT]", moved), id=entry_id)
            await pipeline.execute()
            after = rows[-1][0].decode()

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


async def migrate(url: str, server: S3Server, proxy: DelayProxy, rounds: int) -> list[Table]:
    """Race a migration from Redis hashes to S3 with a loop by hand."""
    proxy.delay(0)
    target = S3Storage(options_on(server, "migrated"))
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(Backbone(url, storage=RedisHashStorage(), environment="benchmark"))
        backbone = await stack.enter_async_context(Backbone(url, storage=target, environment="benchmark"))
        work = MigrationWorkload(url, server, before, backbone)
        stack.push_async_callback(work.close)
        ours = Track("migration, each copy compared", work.migrate, EVENTS, work.prepare)
        by_hand = Track("pages of 250, copied by hand", work.copy_by_hand, EVENTS, work.prepare)
        await race([ours, by_hand], rounds)
    longest = fixed(f"longest call with {PENDING:,} pending, calls a second", 0, 0)
    longest.rates = [1 / each for each in work.longest[1:]]
    most = fixed(f"calls of {LONGEST / timedelta(milliseconds=1):g} ms", timedelta(seconds=1) / LONGEST, rounds)
    ratios = [ratio(ours, by_hand), ratio(longest, most, 1.0)]
    title = "Migration, from Redis hashes to S3, with a group that has events pending"
    return [table("migrate", title, [ours, by_hand, longest, most], ratios)]
