"""All connections to Redis, on one server or several: pooled, pipelined and blocking."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

from hiredis import ReplyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.connection.blocking import LONGEST_WAIT, BlockingConnection
from event_backbone.connection.cluster import Cluster
from event_backbone.connection.errors import Unreachable, prefix_of, redis_errors
from event_backbone.connection.event_loop import OneEventLoop
from event_backbone.connection.key_position import key_of
from event_backbone.connection.node import Node, NodeOptions
from event_backbone.connection.nodes import Nodes
from event_backbone.connection.one_server import OneServer
from event_backbone.connection.pool import ANSWER_WITHIN, Argument
from event_backbone.connection.repetition import Repetition, was_lost
from event_backbone.connection.script import Script
from event_backbone.connection.server import ServerCheck
from event_backbone.errors import BackboneError, ConfigurationError, StreamUnavailable
from event_backbone.settings import RedisSettings

_A = TypeVar("_A")

_REPEATS = 2
_SCANNED_AT_ONCE = 1000
_CONFIRMED_WITHIN = timedelta(seconds=1)


class RedisConnection:
    """The connections to one endpoint, in one event loop at a time; they open when used, also again after ``close``.

    A command whose answer is lost is sent again, up to twice; what must not be repeated unseen goes through
    ``command``, ``run`` or ``run_pipelined`` with ``repeat=False``. Every command has a deadline, and goes to the
    server that has its key; what that server redirects or cannot carry out while keys move is sent again, as nothing
    was done. Errors are redis-py's own: call within ``errors()``.
    """

    def __init__(self, settings: RedisSettings, *, answer_within: timedelta = ANSWER_WITHIN) -> None:
        """Prepare connections; ``answer_within`` must exceed ``LONGEST_WAIT``. Nothing connects yet."""
        if answer_within <= LONGEST_WAIT:
            raise ConfigurationError(f"The deadline for an answer must be longer than {LONGEST_WAIT}.")
        self.settings = settings
        self._loop = OneEventLoop()
        self._server = ServerCheck(settings)
        self._options = NodeOptions(answer_within, self._server)
        self._nodes: Nodes = (Cluster if settings.topology == "cluster" else OneServer)(settings, self._options)
        self._blocking: set[BlockingConnection] = set()

    def errors(
        self, unavailable: type[BackboneError] = StreamUnavailable, *, group_missing: str = "No such consumer group."
    ) -> AbstractContextManager[None]:
        """Translate redis-py's errors within this context, and name the server in their text."""
        return redis_errors(unavailable, address=self.settings.described, group_missing=group_missing)

    async def command(self, *parts: Argument, repeat: bool = True, at: str | None = None) -> object:
        """Send one command, to the server that has its key or that ``at``; return the reply as the server gave it."""
        self._loop.running()
        return await self._send(parts, repeat=repeat, key=at)

    async def command_on_each(self, *parts: Argument) -> dict[str, object]:
        """Send one command without a key to every primary; return the replies by ``host:port``."""
        self._loop.running()
        return {node.address: await self._send_to(node, *parts) for node in await self._nodes.primaries()}

    async def scan(self, cursor: bytes, pattern: str) -> tuple[bytes, list[bytes]]:
        """Return the next cursor, and some keys of a stream like this; the cursor is ``b"0"`` at first and in the end.

        It may miss keys that move to another server meanwhile. Once that is known here, it fails, as the cursor means
        nothing there.
        """
        self._loop.running()
        place, _, address = cursor.partition(b"@")
        node = await self._nodes.find(pattern)
        if address and address.decode() != node.address:
            raise Unreachable("the keys have moved to another server during a scan")
        reply = await self._send(("SCAN", place, "MATCH", pattern, "COUNT", _SCANNED_AT_ONCE), key=pattern)
        next_place, keys = cast("tuple[bytes, list[bytes]]", tuple(cast("list[object]", reply)))
        return next_place if next_place == b"0" else next_place + b"@" + node.address.encode(), keys

    async def examine(self) -> None:
        """Check every server, as the connections for appending and for blocking reads do whenever they open.

        Raises ConfigurationError for a server that is too old or may evict streams; warns, once, about what else may
        lose events. A user without the right to INFO is not refused.
        """
        self._loop.running()
        for node in await self._nodes.primaries():
            await self._server.examine(partial(self._send_to, node))

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        repeat: bool = True,
        names_all_keys: bool = False,
    ) -> object:
        """Run a script atomically and return its reply; it is sent to a server that does not know it yet.

        Without ``names_all_keys`` it may also use other keys of the slot, and gets a last key that is not there.
        """
        self._loop.running()
        named = tuple(keys) if names_all_keys else self._nodes.guarded(tuple(keys))
        return await self._run(script, named, arguments, repeat=repeat)

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

        All calls to a server share one connection, so a large reply holds up the next. An error reply is left to
        ``run``, so the script must have changed nothing by then, or may be repeated.

        A refusal after a lost answer raises the loss, because what was refused when repeated may have been carried out
        before: an error, or a reply that ``refuses``.
        """
        named = self._nodes.guarded(tuple(keys))
        call = ("EVALSHA", script.digest, len(named), *named, *arguments)

        async def send(node: Node) -> object:
            reply = await node.scripts.call(*call)
            return await self._run(script, named, arguments, repeat=False) if isinstance(reply, ReplyError) else reply

        return await self._until_answered(keys[0], send, _REPEATS if repeat else 0, refuses)

    async def run_replicated(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        *,
        replicas: int,
        refuses: Callable[[object], bool],
    ) -> tuple[object, int]:
        """Like ``run_pipelined``, for a script that writes something each time; also return how many replicas have it.

        It waits up to a second for this many ``replicas``.
        """
        named = self._nodes.guarded(tuple(keys))
        call = ("EVALSHA", script.digest, len(named), *named, *arguments)
        wait = ("WAIT", replicas, _CONFIRMED_WITHIN // timedelta(milliseconds=1))

        async def send(node: Node) -> tuple[object, int]:
            # WAIT counts only what its connection wrote, so a script that had to be sent otherwise runs again.
            reply, confirmed = await node.confirmed.call_all(call, wait)
            if isinstance(reply, ReplyError):
                await self._run(script, named, arguments, repeat=False)
                reply, confirmed = await (await self._nodes.find(keys[0])).confirmed.call_all(call, wait)
            for each in (reply, confirmed):
                if isinstance(each, ReplyError):
                    raise ResponseError(str(each))
            return reply, cast("int", confirmed)

        return await self._until_answered(keys[0], send, _REPEATS, lambda answer: refuses(answer[0]))

    async def read_each(self, name: str, keys: Sequence[str]) -> list[object]:
        """Run a reading command on each of these keys of one stream; return the replies, errors as hiredis has them.

        They are sent in one write, on a connection for this alone, so that no large reply holds up what is written
        meanwhile.
        """
        self._loop.running()
        for _ in range(_REPEATS):
            node = self._nodes.known(keys[0]) or await self._nodes.find(keys[0])
            with suppress(RedisConnectionError, RedisTimeoutError):
                return await node.reads.call_each(name, keys)
            self._nodes.lost(node)
        return await (await self._nodes.find(keys[0])).reads.call_each(name, keys)

    def blocking_connection(self, key: str) -> BlockingConnection:
        """Return a new connection for blocking reads of this key; ``close`` closes it too."""
        self._loop.refuse_another()
        connection = BlockingConnection(key, self._nodes, self._options, self._blocking.discard)
        self._blocking.add(connection)
        return connection

    async def forget_connections(self) -> None:
        """Close all idle connections: after a failover the address may lead to another server."""
        await self._nodes.forget_connections()

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        for connection in tuple(self._blocking):
            await connection.close()
        await self._nodes.close()
        self._loop.leave()

    async def _run(
        self, script: Script, named: Sequence[str], arguments: Sequence[Argument], *, repeat: bool
    ) -> object:
        call = (len(named), *named, *arguments)
        try:
            return await self._send(("EVALSHA", script.digest, *call), repeat=repeat)
        except NoScriptError:
            return await self._send(("EVAL", script.source, *call), repeat=repeat)

    async def _send(self, parts: Sequence[Argument], *, repeat: bool = True, key: str | None = None) -> object:
        key = key or key_of(parts)
        repetition = Repetition(_REPEATS if repeat else 0)
        node, asking = None, False
        while True:
            try:
                node = node or await self._nodes.find(key)
                return await (node.command_asking(parts) if asking else node.command(parts))
            except RedisError as error:
                target = await self._nodes.redirect(error)
                if node is not None and was_lost(error):
                    self._nodes.lost(node)
                await repetition.after(error, redirected=target is not None)
                node, asking = target or (None, False)

    async def _send_to(self, node: Node, *parts: Argument) -> object:
        repetition = Repetition(_REPEATS)
        while True:
            try:
                return await node.command(parts)
            except RedisError as error:
                if was_lost(error):
                    self._nodes.lost(node)
                await repetition.after(error, redirected=False)

    async def _until_answered(
        self, key: str, send: Callable[[Node], Awaitable[_A]], most_repeats: int, refuses: Callable[[_A], bool]
    ) -> _A:
        """Send until there is an answer, and again after a lost one, up to so many times."""
        self._loop.running()
        lost: RedisError | None = None
        repeats = 0
        while True:
            node: Node | None = None
            try:
                node = self._nodes.known(key) or await self._nodes.find(key)
                reply = await send(node)
            except (RedisError, BackboneError) as error:
                if isinstance(error, RedisError) and prefix_of(error) is None:
                    if node is not None:
                        self._nodes.lost(node)
                    if repeats < most_repeats:
                        lost, repeats = error, repeats + 1
                        continue
                if lost is None:
                    raise
            else:
                if lost is None or not refuses(reply):
                    return reply
            raise lost
