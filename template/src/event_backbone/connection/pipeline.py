"""One connection that many calls share, none of which waits for the replies to those before it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Any, Protocol, cast

from hiredis import Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.connection.pool import Argument, PromptConnection
from event_backbone.connection.server import ServerCheck


class _Packer(Protocol):
    def pack_command(self, command: tuple[Argument, ...]) -> bytes: ...


_packer = cast("_Packer", import_module("hiredis"))  # its own types know no command of several parts

packed_command = _packer.pack_command
"""Returns a command as bytes; raises TypeError for what is not an ``Argument``."""

_FED_AT_ONCE_BYTES = 8 * 1024


class PipelinedConnection:
    """Sends every call at once, and gives each its reply, in the order in which they were sent.

    redis-py connects and logs in; from then on the socket is read and written here, without its pool, stream reader,
    packer and timers: the fast path, see decision 0012. Calls whose reply is lost, or does not come in time, raise
    redis-py's ConnectionError or TimeoutError.
    """

    def __init__(
        self,
        new_connection: Callable[[], PromptConnection],
        answer_within: timedelta,
        server: ServerCheck | None = None,
    ) -> None:
        """Connect by ``new_connection`` when first used, and again after a failure; each time examine the server."""
        self._new_connection = new_connection
        self._server = server
        self._within_seconds = answer_within.total_seconds()
        self._pipeline: Pipeline | None = None
        self._connecting = asyncio.Lock()

    def call(self, *parts: Argument) -> Coroutine[Any, Any, object]:
        """Return a coroutine that sends one command and returns its reply; errors are ``hiredis.ReplyError`` objects.

        A cancelled call abandons the connection, which may be dead: all other calls that wait there fail.
        """
        return self._send(packed_command(parts), None)

    async def call_all(self, *commands: tuple[Argument, ...]) -> list[object]:
        """Send several commands in one write, and return their replies in order, errors among them."""
        replies = _Replies(len(commands))
        await self._send(b"".join([packed_command(each) for each in commands]), replies)
        return replies.received

    async def call_each(self, name: str, keys: Sequence[str]) -> list[object]:
        """Like ``call`` for one command on each of many keys, in one write: the replies in order, errors among them."""
        head = f"*2\r\n${len(name)}\r\n{name}\r\n$"
        # Keys are ASCII, so this needs no packer: fast path, see decision 0012.
        request = "".join([f"{head}{len(key)}\r\n{key}\r\n" for key in keys])
        replies = _Replies(len(keys))
        await self._send(request.encode("ascii"), replies)
        return replies.received

    async def _send(self, request: bytes, replies: _Replies | None) -> object:
        pipeline = self._pipeline
        if pipeline is None or pipeline.lost:
            pipeline = await self._open()
        try:
            return await pipeline.call(request, replies)
        except asyncio.CancelledError:
            pipeline.abort()
            raise

    async def close(self) -> None:
        """Close the connection; the next call opens another. May be called twice."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            await pipeline.close()

    async def _open(self) -> Pipeline:
        async with self._connecting:
            if self._pipeline is not None and not self._pipeline.lost:
                return self._pipeline
            await self.close()
            connection = self._new_connection()
            try:
                await connection.open()
                if self._server is not None:
                    await self._server.examine(connection.command)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._pipeline = Pipeline(connection, self._within_seconds)
            return self._pipeline


class _Replies:
    """The replies to one write of many commands, as far as they have arrived."""

    __slots__ = ("count", "received")

    def __init__(self, count: int) -> None:
        self.count = count
        self.received: list[object] = []


class Pipeline(asyncio.Protocol):
    """Takes over the socket of a connection, and gives replies to calls in the order in which they were sent."""

    def __init__(self, connection: PromptConnection, within_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._within_seconds = within_seconds
        self._reader = Reader()
        self._waiting: deque[tuple[asyncio.Future[object], float, _Replies | None]] = deque()
        # One timer for all calls, set again only when it has run out: fast path, see decision 0012.
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self._heard_at = 0.0
        self._transport, self._previous = connection.switch_protocol(self)
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether it can no longer be written to."""
        return self._lost or self._transport.is_closing()

    def call(self, request: bytes, replies: _Replies | None = None) -> asyncio.Future[object]:
        """Send a request; the future holds its reply, or is done once all ``replies`` have arrived."""
        answer: asyncio.Future[object] = self._loop.create_future()
        due = self._loop.time() + self._within_seconds
        self._waiting.append((answer, due, replies))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._check)
        self._transport.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        """Give complete replies to their calls."""
        self._heard_at = self._loop.time()
        # After each reply the reader moves the rest of what it was fed: fast path, see decision 0012.
        for start in range(0, len(data), _FED_AT_ONCE_BYTES):
            self._reader.feed(data, start, min(_FED_AT_ONCE_BYTES, len(data) - start))
            self._answer_calls()

    def _answer_calls(self) -> None:
        gets, waiting = self._reader.gets, self._waiting
        while (reply := gets()) is not False:  # no reply of RESP 2 is False
            answer, _, replies = waiting[0]
            if replies is not None:
                replies.received.append(reply)
                if len(replies.received) < replies.count:
                    continue
            waiting.popleft()
            if not answer.done():
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail all calls that wait, and let redis-py know."""
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            answer, _, _ = self._waiting.popleft()
            if not answer.done():
                lost = RedisTimeoutError("No answer in time") if self._late else RedisConnectionError("Connection lost")
                lost.__cause__ = exc
                answer.set_exception(lost)
        self._previous.connection_lost(exc)

    def abort(self) -> None:
        """Give up the connection at once."""
        self._lost = True
        self._transport.abort()

    async def close(self) -> None:
        """Close the connection."""
        self._lost = True
        await self._connection.disconnect()

    def _check(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        _, due, replies = self._waiting[0]
        if replies is not None:
            due = max(due, self._heard_at + self._within_seconds)  # many replies take long, but not between two of them
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._late = True
            self.abort()
