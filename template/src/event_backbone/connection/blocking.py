"""The connection of a blocking read: its own, so that nobody waits behind it and the read can be ended."""

from collections.abc import Callable
from datetime import timedelta

from hiredis import ReplyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError, ResponseError

from event_backbone.backoff import Backoff, Delays
from event_backbone.connection.errors import Unreachable
from event_backbone.connection.node import Node, NodeOptions
from event_backbone.connection.nodes import Nodes
from event_backbone.connection.pipeline import Pipeline, packed_command
from event_backbone.connection.pool import Argument, PromptConnection
from event_backbone.connection.repetition import NO_AGREEMENT, was_lost

LONGEST_WAIT = timedelta(seconds=1)
"""No read blocks longer: a lost server is noticed soon, and a healthy read never reaches the deadline of its answer."""

_MOVED, _ASK = "MOVED ", "ASK "
_MOST_REDIRECTIONS = 10  # about a second
_WHILE_KEYS_MOVE = Backoff(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=150))


class BlockingConnection:
    """One connection that never repeats a command: a repeated read would hide the entries of the first.

    Commands run one at a time. After any error it is unusable: close it and open another. While the key moves to
    another server, it waits or follows, as nothing was read. redis-py connects and logs in; from then on the socket is
    read and written as that of a ``PipelinedConnection`` (fast path, see decision 0012).
    """

    def __init__(
        self, key: str, nodes: Nodes, options: NodeOptions, closed: Callable[["BlockingConnection"], None]
    ) -> None:
        """Read this key, on a server that ``options.server`` accepts; call ``closed`` when it closes."""
        self._key = key
        self._nodes = nodes
        self._options = options
        self._closed = closed
        self._node: Node | None = None
        self._connection: PromptConnection | None = None
        self._pipeline: Pipeline | None = None
        self._id: int | None = None

    async def open(self) -> None:
        """Connect, examine the server, and ask for the id. Raises ConfigurationError if the server is refused."""
        node = await self._nodes.find(self._key)
        try:
            self._connection = connection = await node.open()
            self._node = node
            await self._options.server.examine(connection.command)
            client_id = await connection.command("CLIENT ID")
        except RedisError as error:
            if was_lost(error):
                self._nodes.lost(node)
            raise
        self._pipeline = Pipeline(connection, self._options.answer_within.total_seconds())
        self._id = client_id if isinstance(client_id, int) else None

    async def command(self, *parts: Argument) -> object:
        """Send one command on the open connection and return its reply as the server gave it."""
        request = packed_command(parts)
        reply = await self._reply(request)
        delays = Delays(_WHILE_KEYS_MOVE)
        while isinstance(reply, ReplyError) and delays.failures < _MOST_REDIRECTIONS:
            if str(reply).startswith(_MOVED):
                await self._nodes.redirect(MovedError(str(reply).removeprefix(_MOVED)))
                await self._disconnect()
                await self.open()
            elif not str(reply).startswith(_ASK):
                break
            await delays.wait()
            reply = await self._reply(request)
        if isinstance(reply, ReplyError):
            redirected = str(reply).startswith((_MOVED, _ASK))
            raise Unreachable(NO_AGREEMENT) if redirected else ResponseError(str(reply))
        return reply

    async def unblock(self) -> None:
        """End the read that blocks, on another connection; without the right to do so, it ends at its deadline."""
        if self._node is not None and self._id is not None:
            await self._node.command(("CLIENT", "UNBLOCK", self._id))

    async def close(self) -> None:
        """Close the connection. May be called twice."""
        self._closed(self)
        await self._disconnect()

    async def _reply(self, request: bytes) -> object:
        if self._pipeline is None or self._node is None or self._pipeline.lost:
            raise RedisConnectionError("Connection lost")
        try:
            return await self._pipeline.call(request)
        except RedisError:
            self._nodes.lost(self._node)
            raise

    async def _disconnect(self) -> None:
        connection, self._connection, self._pipeline, self._id = self._connection, None, None, None
        if connection is not None and self._node is not None:
            await self._node.give_back(connection)
