"""The connection of a blocking read: its own, so that nobody waits behind it and it can be woken."""

from collections.abc import Callable
from datetime import timedelta

from redis.asyncio import ConnectionPool, Redis

from event_backbone.connection.pool import Argument, commands_of
from event_backbone.connection.server import ServerCheck

LONGEST_WAIT = timedelta(seconds=1)
"""No read blocks longer: a lost server is noticed soon, and no socket deadline is reached in good health."""


class WaitingConnection:
    """One connection that never repeats a command by itself: a repeated read would hide the entries of the first.

    Commands run one at a time. After any error it is of no use any more: close it and open another.
    """

    def __init__(
        self, pool: ConnectionPool, server: ServerCheck, closed: Callable[["WaitingConnection"], None]
    ) -> None:
        """Take the pool, whose only connection it will use, who judges the server, and whom to tell of the closing."""
        self._server = server
        self._closed = closed
        self._client = Redis(connection_pool=pool, single_connection_client=True)
        self._client.auto_close_connection_pool = True
        self._commands = commands_of(self._client)
        self._id: int | None = None

    @property
    def id(self) -> int | None:
        """The server's number of this connection, by which CLIENT UNBLOCK finds it; None before it is open."""
        return self._id

    async def open(self) -> None:
        """Connect, examine the server, and learn the number. Raises ConfigurationError if the server is refused."""
        await self._server.examine(self._commands.execute_command)
        number = await self._commands.execute_command("CLIENT ID")
        self._id = number if isinstance(number, int) else None

    async def command(self, *parts: Argument) -> object:
        """Send one command and return its reply as the server gave it."""
        return await self._commands.execute_command(*parts)

    async def close(self) -> None:
        """Close the connection. May be called twice."""
        self._id = None
        self._closed(self)
        await self._client.aclose()
