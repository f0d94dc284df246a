"""The connection of a blocking read: its own, so that nobody waits behind it and the read can be ended."""

from collections.abc import Callable
from datetime import timedelta

from redis.asyncio import ConnectionPool, Redis

from event_backbone.connection.pool import Argument, commands_of
from event_backbone.connection.server import ServerCheck

LONGEST_WAIT = timedelta(seconds=1)
"""No read blocks longer: a lost server is noticed soon, and a healthy read never reaches the deadline of its socket."""


class BlockingConnection:
    """One connection that never repeats a command: a repeated read would hide the entries of the first.

    Commands run one at a time. After any error it is unusable: close it and open another.
    """

    def __init__(
        self, pool: ConnectionPool, server: ServerCheck, closed: Callable[["BlockingConnection"], None]
    ) -> None:
        """Use the only connection of ``pool``, on a server that ``server`` accepts; call ``closed`` when it closes."""
        self._server = server
        self._closed = closed
        self._client = Redis(connection_pool=pool, single_connection_client=True)
        self._client.auto_close_connection_pool = True
        self._commands = commands_of(self._client)
        self._id: int | None = None

    @property
    def id(self) -> int | None:
        """The server's id of this connection, for CLIENT UNBLOCK; None before it is open."""
        return self._id

    async def open(self) -> None:
        """Connect, examine the server, and ask for the id. Raises ConfigurationError if the server is refused."""
        await self._server.examine(self._commands.execute_command)
        client_id = await self._commands.execute_command("CLIENT ID")
        self._id = client_id if isinstance(client_id, int) else None

    async def command(self, *parts: Argument) -> object:
        """Send one command and return its reply as the server gave it."""
        return await self._commands.execute_command(*parts)

    async def close(self) -> None:
        """Close the connection. May be called twice."""
        self._id = None
        self._closed(self)
        await self._client.aclose()
