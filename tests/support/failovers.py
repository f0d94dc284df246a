"""A failover to a replica that had not received the last writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis


@dataclass(frozen=True)
class Replica:
    """All keys of a server, as they were at one moment."""

    keys: dict[bytes, tuple[int, bytes]]

    @classmethod
    async def of(cls, redis: Redis) -> Replica:
        """Copy a server at rest."""
        keys: dict[bytes, tuple[int, bytes]] = {}
        for key in cast("list[bytes]", await redis.keys()):
            keys[key] = max(await redis.pttl(key), 0), await redis.dump(key) or b""
        return cls(keys)

    async def take_over(self, redis: Redis) -> None:
        """Let the server have what the replica has, and nothing else."""
        async with redis.pipeline() as pipeline:
            pipeline.flushall()
            for key, (expires, value) in self.keys.items():
                pipeline.restore(key, expires, value)
            await pipeline.execute()
