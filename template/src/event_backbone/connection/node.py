"""The connections to one server: a pool for single commands, and pipelines for what runs all the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from redis.asyncio import Redis

from event_backbone.connection.pipeline import PipelinedConnection
from event_backbone.connection.pool import (
    Argument,
    FindAddress,
    PromptConnection,
    commands_of,
    new_connection,
    new_pool,
)
from event_backbone.connection.server import ServerCheck

_CONNECTIONS = 256


class NodeOptions(NamedTuple):
    """What the connections to all servers of an endpoint have in common."""

    answer_within: timedelta
    server: ServerCheck


class Node:
    """One server's connections; they open when first used, and again after ``close``. No command is ever repeated."""

    def __init__(self, address: str, url: str, options: NodeOptions, find_address: FindAddress | None = None) -> None:
        """Connect to this URL, or to the address that is found whenever a connection opens."""
        self.address = address
        within = options.answer_within
        self._pool = new_pool(url, connections=_CONNECTIONS, answer_within=within, find_address=find_address)
        self._commands = commands_of(Redis(connection_pool=self._pool))
        self._opened: set[PromptConnection] = set()
        self._connect = connect = partial(new_connection, url, answer_within=within, find_address=find_address)
        self.scripts = PipelinedConnection(connect, within, options.server)
        """For scripts."""
        self.reads = PipelinedConnection(connect, within)
        """For replies so large that they hold up what comes after them."""
        self.confirmed = PipelinedConnection(connect, within, options.server)
        """For scripts that wait for replicas, and hold up what comes after them."""

    async def command(self, parts: Sequence[Argument]) -> object:
        """Send one command and return its reply as the server gave it."""
        return await self._commands.execute_command(*parts)

    async def command_asking(self, parts: Sequence[Argument]) -> object:
        """Send one command that an ASK reply has sent here, on a connection that has just said so."""
        connection = await self.open()
        try:
            await connection.command("ASKING")
            return await connection.command(*parts)
        finally:
            await self.give_back(connection)

    async def open(self) -> PromptConnection:
        """Return a connection of the caller's own, open; it is to be given back to ``give_back``."""
        connection = self._connect()
        self._opened.add(connection)
        try:
            await connection.open()
        except BaseException:
            await self.give_back(connection)
            raise
        return connection

    async def give_back(self, connection: PromptConnection) -> None:
        """Close a connection from ``open``."""
        self._opened.discard(connection)
        await connection.disconnect(nowait=True)

    async def forget_connections(self) -> None:
        """Close what is idle, and the pipelines."""
        await self._close_pipelines()
        await self._pool.disconnect(inuse_connections=False)

    async def drop_connections(self) -> None:
        """Close all connections at once, also those that wait for an answer: their calls fail as lost."""
        await self._close_pipelines()
        for connection in tuple(self._opened):
            await connection.disconnect(nowait=True)
        await self._pool.disconnect()

    async def close(self) -> None:
        """Close every connection but those of blocking reads. May be called twice."""
        await self._close_pipelines()
        await self._pool.aclose()

    async def _close_pipelines(self) -> None:
        for pipeline in (self.scripts, self.reads, self.confirmed):
            await pipeline.close()
