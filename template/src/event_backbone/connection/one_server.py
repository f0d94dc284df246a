"""One server, which Sentinels may name: after a failover it is another one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from redis.exceptions import ReadOnlyError, RedisError

from event_backbone.connection.node import Node, NodeOptions
from event_backbone.connection.sentinels import Sentinels
from event_backbone.errors import ConfigurationError
from event_backbone.settings import RedisSettings

_ASKED_EVERY_SECONDS = 0.5


class OneServer:
    """Implements ``Nodes`` for one server at a time.

    While there are connections, the Sentinels are asked twice a second whether the primary is still the same: until an
    old one is told, it takes writes that will be lost, or it is suspended and does not answer at all.
    """

    def __init__(self, settings: RedisSettings, options: NodeOptions) -> None:
        """Prepare connections to the server, or to the primary that the Sentinels name whenever one opens."""
        self._sentinels = Sentinels(settings) if settings.topology == "sentinel" else None
        self._watching: asyncio.Task[None] | None = None
        address = settings.servers[0] if settings.servers else settings.described
        find = None if self._sentinels is None else partial(self._find_primary, self._sentinels)
        self._node = Node(address, settings.url_of(address), options, find)

    def known(self, key: str) -> Node:
        """Return the server."""
        del key
        return self._node

    async def find(self, key: str | None) -> Node:
        """Return the server; its connections find out where the primary is."""
        del key
        return self._node

    async def primaries(self) -> list[Node]:
        """Return the server."""
        return [self._node]

    def guarded(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys: no slot can move."""
        return keys

    async def redirect(self, error: RedisError) -> tuple[Node, bool] | None:
        """Return None; after READONLY, which a failover leaves behind, connect again."""
        if isinstance(error, ReadOnlyError):
            await self.forget_connections()
        return None

    def lost(self, node: Node) -> None:
        """Do nothing: the next connection finds the primary."""

    async def forget_connections(self) -> None:
        """Close all idle connections: the address may lead to another server."""
        if self._sentinels is not None:
            self._sentinels.ask_another_first()
        await self._node.forget_connections()

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait((watching,))
        await self._node.close()
        if self._sentinels is not None:
            await self._sentinels.close()

    async def _find_primary(self, sentinels: Sentinels) -> tuple[str, int]:
        host, port = await sentinels.primary()
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(sentinels), name="event-backbone-sentinels")
        address = f"{host}:{port}"
        if address != self._node.address:
            self._node.address = address
            await self._node.drop_connections()  # they lead to a server that is the primary no longer
        return host, port

    async def _watch(self, sentinels: Sentinels) -> None:
        while True:
            await asyncio.sleep(_ASKED_EVERY_SECONDS)
            sentinels.ask_another_first()
            with suppress(RedisError, OSError, ConfigurationError):  # raised again where a connection opens
                await self._find_primary(sentinels)
