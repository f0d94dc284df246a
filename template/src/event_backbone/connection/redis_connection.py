"""All connections to one Redis server: pooled, pipelined and blocking."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import partial
from typing import cast

from hiredis import ReplyError
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.connection.blocking import LONGEST_WAIT, BlockingConnection
from event_backbone.connection.errors import prefix_of, redis_errors
from event_backbone.connection.event_loop import OneEventLoop
from event_backbone.connection.pipeline import PipelinedConnection
from event_backbone.connection.pool import ANSWER_WITHIN, Argument, commands_of, new_connection, new_pool
from event_backbone.connection.script import Script
from event_backbone.connection.server import ServerCheck
from event_backbone.errors import BackboneError, ConfigurationError, StreamUnavailable
from event_backbone.settings import RedisSettings

_REPEATS = 2
_CONNECTIONS = 64
_CALLS_ONCE = 256
_SCANNED_AT_ONCE = 1000


class RedisConnection:
    """One server's connections; they open when first used, and again after ``close``, in one event loop at a time.

    A command whose answer is lost is sent again, up to twice; what must not be repeated unseen goes through
    ``command``, ``run`` or ``run_pipelined`` with ``repeat=False``. Every command has a deadline. Errors are redis-py's
    own: call within ``errors()``.
    """

    def __init__(self, settings: RedisSettings, *, answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Prepare connections to this server; ``answer_within`` must exceed ``LONGEST_WAIT``. Nothing connects yet."""
        if answer_within <= LONGEST_WAIT:
            raise ConfigurationError(f"The deadline for an answer must be longer than {LONGEST_WAIT}.")
        self.settings = settings
        self._loop = OneEventLoop()
        self._answer_within = answer_within
        self._pool = self._new_pool(_CONNECTIONS, _REPEATS)
        self._pool_once = self._new_pool(_CALLS_ONCE, 0)
        self._client = Redis(connection_pool=self._pool)
        self._commands = commands_of(Redis(connection_pool=self._pool))
        self._commands_once = commands_of(Redis(connection_pool=self._pool_once))
        self._blocking: set[BlockingConnection] = set()
        self._connect = connect = partial(new_connection, settings, answer_within=answer_within)
        self._server = ServerCheck(settings.described)
        self._script_pipeline = PipelinedConnection(connect, answer_within, self._server)
        self._read_pipeline = PipelinedConnection(connect, answer_within)

    @property
    def client(self) -> Redis:
        """A client of redis-py for commands that may run twice; texts in replies are bytes."""
        self._loop.refuse_another()
        return self._client

    def errors(
        self, unavailable: type[BackboneError] = StreamUnavailable, *, group_missing: str = "No such consumer group."
    ) -> AbstractContextManager[None]:
        """Translate redis-py's errors within this context, and name the server in their text."""
        return redis_errors(unavailable, address=self.settings.described, group_missing=group_missing)

    async def command(self, *parts: Argument, repeat: bool = True) -> object:
        """Send one command and return its reply as the server gave it."""
        self._loop.running()
        commands = self._commands if repeat else self._commands_once
        try:
            return await commands.execute_command(*parts)
        except ReadOnlyError:
            await self.forget_connections()
            raise

    async def scan(self, cursor: bytes, pattern: str) -> tuple[bytes, list[bytes]]:
        """Return the next cursor, and some keys like this; the cursor is ``b"0"`` at first and in the end."""
        reply = await self.command("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE)
        next_cursor, keys = cast("tuple[bytes, list[bytes]]", tuple(cast("list[object]", reply)))
        return next_cursor, keys

    async def examine(self) -> None:
        """Check the server, as the connections for appending and for blocking reads do whenever they open.

        Raises ConfigurationError for a server that is too old or may evict streams; warns, once, about what else may
        lose events. A user without the right to INFO is not refused.
        """
        await self._server.examine(self.command)

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], *, repeat: bool = True
    ) -> object:
        """Run a script atomically and return its reply; it is sent to a server that does not know it yet."""
        call = (len(keys), *keys, *arguments)
        try:
            return await self.command("EVALSHA", script.digest, *call, repeat=repeat)
        except NoScriptError:
            return await self.command("EVAL", script.source, *call, repeat=repeat)

    async def run_pipelined(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        repeat: bool = True,
        refuses: Callable[[object], bool] = lambda _: False,
    ) -> object:
        """Like ``run``, for a script that is called all the time: the fast path, see decision 0012.

        All calls share one connection, so a large reply holds up the next. An error reply is left to ``run``, so the
        script must have changed nothing by then, or may be repeated.

        A refusal after a lost answer raises the loss, because what was refused when repeated may have been carried out
        before: an error, or a reply that ``refuses``.
        """
        self._loop.running()
        lost: RedisError | None = None
        repeats, most_repeats = 0, _REPEATS if repeat else 0
        while True:
            try:
                reply = await self._script_pipeline.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
                if isinstance(reply, ReplyError):
                    reply = await self.run(script, keys, arguments, repeat=False)
            except (RedisError, BackboneError) as error:
                if isinstance(error, RedisError) and prefix_of(error) is None and repeats < most_repeats:
                    lost, repeats = error, repeats + 1
                    continue
                if lost is None:
                    raise
            else:
                if lost is None or not refuses(reply):
                    return reply
            raise lost

    async def read_each(self, name: str, keys: Sequence[str]) -> list[object]:
        """Run one reading command on each of many keys, in one write; return the replies, errors as hiredis has them.

        It has its own connection, so that no large reply holds up what is written meanwhile.
        """
        self._loop.running()
        for _ in range(_REPEATS):
            with suppress(RedisConnectionError, RedisTimeoutError):
                return await self._read_pipeline.call_each(name, keys)
        return await self._read_pipeline.call_each(name, keys)

    def blocking_connection(self) -> BlockingConnection:
        """Return a new connection for blocking reads; ``close`` closes it too."""
        self._loop.refuse_another()
        connection = BlockingConnection(self._connect(), self._answer_within, self._server, self._blocking.discard)
        self._blocking.add(connection)
        return connection

    async def forget_connections(self) -> None:
        """Close all idle connections: after a failover the address may lead to another server."""
        await self._script_pipeline.close()
        await self._read_pipeline.close()
        for pool in (self._pool, self._pool_once):
            await pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        for connection in tuple(self._blocking):
            await connection.close()
        await self._script_pipeline.close()
        await self._read_pipeline.close()
        for pool in (self._pool, self._pool_once):
            await pool.aclose()
        self._loop.leave()

    def _new_pool(self, connections: int, repeats: int) -> ConnectionPool:
        return new_pool(self.settings, connections=connections, repeats=repeats, answer_within=self._answer_within)
