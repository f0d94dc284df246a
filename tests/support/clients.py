"""Plain clients of redis-py, for what the runtime leaves in Redis."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from redis.asyncio import Redis, RedisCluster, Sentinel

from event_backbone.settings import RedisSettings


class _OnAll:
    """A client of a cluster that looks at the keys of all nodes; redis-py's own asks one of them."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> object:
        return getattr(self._cluster, name)

    async def keys(self, pattern: str = "*") -> list[bytes]:
        return cast("list[bytes]", await self._cluster.keys(pattern, target_nodes=RedisCluster.PRIMARIES))

    async def dbsize(self) -> int:
        return len(await self.keys())


@asynccontextmanager
async def plain_client(url: str) -> AsyncGenerator[Redis]:
    """Open a client of the server, the primary that Sentinels name, or the cluster at this endpoint.

    That of a cluster takes the same commands as long as their keys share a slot.
    """
    settings = RedisSettings.parse(url)
    if settings.topology == "single":
        async with Redis.from_url(url) as client:
            yield client
    elif settings.topology == "cluster":
        async with RedisCluster.from_url(settings.url_of(settings.servers[0])) as cluster:
            yield cast("Redis", _OnAll(cluster))
    else:
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            [(host, int(port)) for host, _, port in (each.rpartition(":") for each in settings.servers)]
        )
        async with sentinel.master_for(settings.service) as client:
            yield client
        for each in sentinel.sentinels:
            await each.aclose()
