"""One connection on which calls follow each other, for the script that is called all the time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import Protocol, cast

from hiredis import Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.connection.pool import Argument, PromptConnection
from event_backbone.connection.server import ServerCheck


class _Packer(Protocol):
    def pack_command(self, command: tuple[Argument, ...]) -> bytes: ...


_PACKER = cast("_Packer", import_module("hiredis"))  # its own types know no command of several parts


class PipelinedConnection:
    """Sends every call at once, on a connection that is open already, and hands out the answers as they arrive.

    redis-py connects and logs in; from then on the socket is read and written here, without the pool, the stream
    reader, the packer and the two timers that make a call of redis-py cost 100 µs of processor time: here it is 20.
    Calls whose answer is lost, or does not come in time, raise redis-py's ConnectionError or TimeoutError.
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
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    async def call(self, *parts: Argument) -> object:
        """Send one command and return its reply as hiredis reads it: errors are ``hiredis.ReplyError`` objects.

        When cancelled it gives up the connection, which may be dead: what else waits for answers there is told so.
        """
        return await self._send(_PACKER.pack_command(parts), None)

    async def call_each(self, name: str, keys: Sequence[str]) -> list[object]:
        """Like ``call`` for one command on each of many keys, in one write: the replies in order, errors among them."""
        head = f"*2\r\n${len(name)}\r\n{name}\r\n$"
        # Keys are ASCII. Packing each command by hiredis costs three times as much.
        request = "".join([f"{head}{len(key)}\r\n{key}\r\n" for key in keys])
        gathered = _Gathered(len(keys))
        await self._send(request.encode("ascii"), gathered)
        return gathered.replies

    async def _send(self, request: bytes, gathered: _Gathered | None) -> object:
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._open()
        try:
            return await wire.call(request, gathered)
        except asyncio.CancelledError:
            wire.abort()
            raise

    async def close(self) -> None:
        """Close the connection; the next call opens another. May be called twice."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _open(self) -> _Wire:
        async with self._connecting:
            if self._wire is not None and not self._wire.lost:
                return self._wire
            await self.close()
            connection = self._new_connection()
            try:
                await connection.open()
                if self._server is not None:
                    await self._server.examine(connection.ask)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._wire = _Wire(connection, self._within_seconds)
            return self._wire


class _Gathered:
    """The replies to one write, as far as they have arrived."""

    __slots__ = ("count", "replies")

    def __init__(self, count: int) -> None:
        self.count = count
        self.replies: list[object] = []


class _Wire(asyncio.Protocol):
    """Takes over a connection's socket, and answers calls in the order in which they were sent."""

    def __init__(self, connection: PromptConnection, within_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._within_seconds = within_seconds
        self._reader = Reader()
        self._waiting: deque[tuple[asyncio.Future[object], float, _Gathered | None]] = deque()
        # One timer for all calls, set again only when it has run out: a timer for each costs 5 µs.
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self._heard_at = 0.0
        self._transport, self._former = connection.hand_over(self)
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether it can no longer be written to."""
        return self._lost or self._transport.is_closing()

    def call(self, request: bytes, gathered: _Gathered | None) -> asyncio.Future[object]:
        """Send a request; the future holds its reply, or is done once all of its replies are ``gathered``."""
        answer: asyncio.Future[object] = self._loop.create_future()
        due = self._loop.time() + self._within_seconds
        self._waiting.append((answer, due, gathered))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._check)
        self._transport.write(request)
        return answer

    def data_received(self, data: bytes) -> None:
        """Hand out the replies that are complete."""
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        gets, waiting = self._reader.gets, self._waiting
        while (reply := gets()) is not False:  # no reply of RESP 2 is False
            answer, _, gathered = waiting[0]
            if gathered is not None:
                gathered.replies.append(reply)
                if len(gathered.replies) < gathered.count:
                    continue
            waiting.popleft()
            if not answer.done():
                answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait, and redis-py."""
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting:
            answer, _, _ = self._waiting.popleft()
            if not answer.done():
                lost = RedisTimeoutError("No answer in time") if self._late else RedisConnectionError("Connection lost")
                lost.__cause__ = exc
                answer.set_exception(lost)
        self._former.connection_lost(exc)

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
        _, due, gathered = self._waiting[0]
        if gathered is not None:
            due = max(due, self._heard_at + self._within_seconds)  # many replies take long, but not between two of them
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
        else:
            self._late = True
            self.abort()
