"""The connection of a blocking read: its own, so that nobody waits behind it and the read can be ended."""

from collections.abc import Callable
from datetime import timedelta

from hiredis import ReplyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from event_backbone.connection.pipeline import Pipeline, packed_command
from event_backbone.connection.pool import Argument, PromptConnection
from event_backbone.connection.server import ServerCheck

LONGEST_WAIT = timedelta(seconds=1)
"""No read blocks longer: a lost server is noticed soon, and a healthy read never reaches the deadline of its answer."""


class BlockingConnection:
    """One connection that never repeats a command: a repeated read would hide the entries of the first.

    Commands run one at a time. After any error it is unusable: close it and open another. redis-py connects and logs
    in; from then on the socket is read and written as that of a ``PipelinedConnection`` (fast path, see decision 0012).
    """

    def __init__(
        self,
        connection: PromptConnection,
        answer_within: timedelta,
        server: ServerCheck,
        closed: Callable[["BlockingConnection"], None],
    ) -> None:
        """Use ``connection``, on a server that ``server`` accepts; call ``closed`` when it closes."""
        self._connection = connection
        self._within_seconds = answer_within.total_seconds()
        self._server = server
        self._closed = closed
        self._pipeline: Pipeline | None = None
        self._id: int | None = None

    @property
    def id(self) -> int | None:
        """The server's id of this connection, for CLIENT UNBLOCK; None before it is open."""
        return self._id

    async def open(self) -> None:
        """Connect, examine the server, and ask for the id. Raises ConfigurationError if the server is refused."""
        await self._connection.open()
        await self._server.examine(self._connection.command)
        client_id = await self._connection.command("CLIENT ID")
        self._pipeline = Pipeline(self._connection, self._within_seconds)
        self._id = client_id if isinstance(client_id, int) else None

    async def command(self, *parts: Argument) -> object:
        """Send one command on the open connection and return its reply as the server gave it."""
        if self._pipeline is None or self._pipeline.lost:
            raise RedisConnectionError("Connection lost")
        reply = await self._pipeline.call(packed_command(parts))
        if isinstance(reply, ReplyError):
            raise ResponseError(str(reply))
        return reply

    async def close(self) -> None:
        """Close the connection. May be called twice."""
        self._id = None
        self._closed(self)
        await self._connection.disconnect()
