"""Connections of redis-py with deadlines, in pools or alone, and typed where redis-py is not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol, cast

from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.errors import ConfigurationError
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE, RedisSettings

ANSWER_WITHIN = timedelta(seconds=5)
CONNECT_WITHIN = timedelta(seconds=3)
_RESP = 2  # the one protocol version whose replies have the same shape on every server and in every redis-py

Argument = str | bytes | int


class Commands(Protocol):
    """What sends one command and returns its reply."""

    async def execute_command(self, *parts: Argument) -> object:
        """Send one command and return its reply as the server gave it."""
        ...


def commands_of(client: Redis) -> Commands:
    """Return the same client, which from now on leaves replies as they are, typed for what is used of it."""
    client.response_callbacks.clear()
    return cast("Commands", client)


def new_pool(settings: RedisSettings, *, connections: int, repeats: int, answer_within: timedelta) -> ConnectionPool:
    """Return a pool that connects when first used.

    A caller that finds all connections taken waits for one, up to ``answer_within``, which is also the deadline of
    every write and every answer. A command whose answer is lost is sent again up to ``repeats`` times.
    """
    try:
        options = dict(cast("dict[str, object]", parse_url(settings.url)))
    except ValueError as error:
        raise ConfigurationError(f"{REDIS_ENDPOINT_VARIABLE} has an option whose value is not valid.") from error
    kind = cast("type[AbstractConnection]", options.pop("connection_class", Connection))
    return cast("_PoolType", BlockingConnectionPool)(
        connection_class=_PROMPT[kind],
        max_connections=connections,
        timeout=answer_within.total_seconds(),
        protocol=_RESP,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.3) if repeats else NoBackoff(), repeats),
        socket_timeout=answer_within.total_seconds(),
        socket_connect_timeout=CONNECT_WITHIN.total_seconds(),
        **({} if kind is UnixConnection else {"socket_keepalive": True}),
        **options,
    )


def new_connection(settings: RedisSettings, *, answer_within: timedelta) -> PromptConnection:
    """Return a new connection outside any pool, for ``open`` to open; it never repeats a command."""
    pool = new_pool(settings, connections=1, repeats=0, answer_within=answer_within)
    return cast("_Maker", pool).make_connection()


class _PoolType(Protocol):
    def __call__(self, **options: object) -> ConnectionPool: ...


class _Maker(Protocol):
    def make_connection(self) -> PromptConnection: ...


class _Speaks(Protocol):
    async def connect(self) -> None: ...
    async def send_command(self, *parts: Argument) -> None: ...
    async def read_response(self) -> object: ...


class PromptConnection(AbstractConnection):
    """Writes at once. redis-py itself makes every write a task, which waits until all ready tasks have run."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Send a packed command, within the deadline of a write."""
        if self._writer is not None and self._writer.transport.is_closing():
            # Not every transport can be written to once it is closed: those of uvloop raise RuntimeError, and those of
            # Python 3.12.0, 3.12.1 and 3.13.0 AttributeError or TypeError (gh-136234).
            await self.disconnect(nowait=True)
            raise RedisConnectionError("Connection lost")
        within, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(within):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise RedisTimeoutError("Timeout writing to socket") from error
        finally:
            self.socket_timeout = within

    async def open(self) -> None:
        """Connect and log in, as redis-py does."""
        await cast("_Speaks", self).connect()

    async def command(self, *parts: Argument) -> object:
        """Send one command on the open connection and return its reply."""
        connection = cast("_Speaks", self)
        await connection.send_command(*parts)
        return await connection.read_response()

    def switch_protocol(self, to: asyncio.Protocol) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Let ``to`` read the open socket from now on; return its transport and its protocol so far."""
        if self._writer is None:
            raise RedisConnectionError("Not connected")
        transport = cast("asyncio.Transport", self._writer.transport)
        previous = transport.get_protocol()
        transport.set_protocol(to)
        return transport, previous


class _PromptTcp(PromptConnection, Connection):
    pass


class _PromptTls(PromptConnection, SSLConnection):
    pass


class _PromptUnix(PromptConnection, UnixConnection):
    pass


_PROMPT: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _PromptTcp,
    SSLConnection: _PromptTls,
    UnixConnection: _PromptUnix,
}
