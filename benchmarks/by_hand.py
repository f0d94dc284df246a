"""The baselines on Redis: what a careful developer writes with redis-py alone, in batches of 100."""

from __future__ import annotations

from typing import cast
from uuid import uuid4

from redis.asyncio import Redis

from benchmarks.workload import Packing, example

BATCH = 100
STREAM = "by-hand"
GROUP = "by-hand"

_APPEND = """
for i = 1, #ARGV, 3 do
  redis.call('HSET', 'by-hand:payload:' .. ARGV[i], 'payload', ARGV[i + 2])
  redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'event', ARGV[i + 1])
end
"""
_LOAD = """
local payloads = {}
for i, id in ipairs(ARGV) do payloads[i] = redis.call('HGET', 'by-hand:payload:' .. id, 'payload') end
return payloads
"""


class ByHand:
    """One client, its two scripts loaded, and the loops over them."""

    def __init__(self, redis: Redis, append: str, load: str) -> None:
        """Take what ``connect`` made."""
        self.redis = redis
        self._append = append
        self._load = load

    @classmethod
    async def connect(cls, url: str) -> ByHand:
        """Connect and load the scripts."""
        redis = Redis.from_url(url)
        append = await redis.script_load(_APPEND)
        load = await redis.script_load(_LOAD)
        return cls(redis, append, load)

    async def produce_by_script(self, total: int) -> None:
        """Write payload hash and entry with one EVALSHA per batch: the fastest plain way there is."""
        for start in range(0, total, BATCH):
            arguments: list[str | bytes] = []
            for number in range(start, min(start + BATCH, total)):
                arguments += (uuid4().hex, "packing", example(number).model_dump_json().encode())
            await self.redis.evalsha(self._append, 1, STREAM, *arguments)

    async def produce_by_pipeline(self, total: int) -> None:
        """Write payload hash and entry with a pipeline of HSET and XADD: what most people write."""
        for start in range(0, total, BATCH):
            pipeline = self.redis.pipeline(transaction=False)
            for number in range(start, min(start + BATCH, total)):
                event_id = uuid4().hex
                pipeline.hset(f"by-hand:payload:{event_id}", "payload", example(number).model_dump_json())
                pipeline.xadd(STREAM, {"id": event_id, "event": "packing"})
            await pipeline.execute()

    async def fresh_group(self) -> None:
        """Start again at the first entry."""
        await self.redis.xgroup_destroy(STREAM, GROUP)
        await self.redis.xgroup_create(STREAM, GROUP, "0")

    async def consume(self, total: int, *, typed: bool) -> None:
        """Read a batch, load its payloads with one script, pass each to a handler, ack the batch."""
        seen = 0
        while seen < total:
            answer = await self.redis.xreadgroup(GROUP, "one", {STREAM: ">"}, count=BATCH, block=1000)
            entries = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer)[0][1]
            ids = [fields[b"id"] for _, fields in entries]
            payloads = cast("list[bytes]", await self.redis.evalsha(self._load, 0, *ids))
            for payload in payloads:
                await _handle(Packing.model_validate_json(payload) if typed else payload)
            await self.redis.xack(STREAM, GROUP, *(entry_id for entry_id, _ in entries))
            seen += len(entries)

    async def clear(self) -> None:
        """Empty the server."""
        await self.redis.flushall()

    async def close(self) -> None:
        """Close the client."""
        await self.redis.aclose()


async def _handle(event: object) -> None:
    """Do nothing, as every handler here."""
