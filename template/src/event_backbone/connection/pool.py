"""Connections of redis-py with deadlines, in pools or alone, and typed where redis-py is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any, Protocol, cast

from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio import UnixDomainSocketConnection as UnixConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.errors import ConfigurationError
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE

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


FindAddress = Callable[[], Awaitable[tuple[str, int]]]
"""Returns the host and the port that a connection is to be opened to."""


def connection_options(url: str, answer_within: timedelta) -> dict[str, object]:
    """Return redis-py's options for a connection to this URL: every write and every answer within this deadline.

    It never repeats a command.
    """
    try:
        options = dict(cast("dict[str, object]", parse_url(url)))
    except ValueError as error:
        raise ConfigurationError(f"{REDIS_ENDPOINT_VARIABLE} has an option whose value is not valid.") from error
    kind = cast("type[AbstractConnection]", options.pop("connection_class", Connection))
    return {
        "connection_class": _PROMPT[kind],
        "protocol": _RESP,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": answer_within.total_seconds(),
        "socket_connect_timeout": CONNECT_WITHIN.total_seconds(),
        **({} if kind is UnixConnection else {"socket_keepalive": True}),
        **options,
    }


def new_pool(
    url: str, *, connections: int, answer_within: timedelta, find_address: FindAddress | None = None
) -> ConnectionPool:
    """Return a pool that connects when first used, each time to the address that is found then, if that is given.

    A caller that finds all connections taken waits for one, up to ``answer_within``.
    """
    options = connection_options(url, answer_within)
    pool = cast("_PoolType", BlockingConnectionPool)(
        max_connections=connections, timeout=answer_within.total_seconds(), **options
    )
    if find_address is not None:
        pool.connection_class = _FOUND[cast("type[AbstractConnection]", options["connection_class"])]
        pool.connection_kwargs["find_address"] = find_address
    return pool


def new_connection(url: str, *, answer_within: timedelta, find_address: FindAddress | None = None) -> PromptConnection:
    """Return a new connection outside any pool, for ``open`` to open; it never repeats a command."""
    pool = new_pool(url, connections=1, answer_within=answer_within, find_address=find_address)
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


class _FoundConnection(PromptConnection):
    """Finds out where to connect whenever it connects, as a failover moves the primary to another server."""

    def __init__(self, *, find_address: FindAddress, **options: Any) -> None:
        self._find_address = find_address
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - redis-py's own types are not complete

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's signature
        """Find the address, and connect as redis-py does."""
        if not self.is_connected:
            self.host, self.port = await self._find_address()
        await super().connect_check_health(check_health, retry_socket_connect)


class _FoundTcp(_FoundConnection, _PromptTcp):
    pass


class _FoundTls(_FoundConnection, _PromptTls):
    pass


_FOUND: dict[type[AbstractConnection], type[AbstractConnection]] = {_PromptTcp: _FoundTcp, _PromptTls: _FoundTls}

_PROMPT: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _PromptTcp,
    SSLConnection: _PromptTls,
    UnixConnection: _PromptUnix,
}
