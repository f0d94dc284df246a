"""The nodes of a cluster, as redis-py finds them, each with connections like those to a single server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Protocol, cast

from redis.asyncio.cluster import ClusterNode, NodesManager
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from event_backbone.connection.errors import Unreachable
from event_backbone.connection.node import Node, NodeOptions
from event_backbone.connection.nodes import hash_tag
from event_backbone.connection.pool import connection_options
from event_backbone.errors import ConfigurationError
from event_backbone.settings import REDIS_ENDPOINT_VARIABLE, RedisSettings
from event_backbone.wire.keys import ABSENT_KEY

_ANSWER_WITHIN = timedelta(seconds=2)  # there are other nodes to ask
_NO_SLOTS = "no node of the cluster serves a slot"
_REFRESH_EVERY_SECONDS = 0.1
_PINGED_EVERY_SECONDS = 0.5
_PINGED_WITHIN_SECONDS = 1.0
_PRIMARY = "primary"
_NOT_A_NODES = frozenset({"host", "port", "db", "retry"})


class _Found(Protocol):
    """A node as redis-py describes it."""

    name: str
    server_type: str


class _Target(Protocol):
    """Where an error leads."""

    host: str
    port: int


class _Manager(Protocol):
    slots_cache: Mapping[int, list[_Found]]
    nodes_cache: Mapping[str, _Found]

    async def initialize(self, *, last_failed_node_name: str | None) -> None: ...
    async def move_slot(self, error: AskError) -> None: ...
    async def aclose(self, attr: str = "nodes_cache") -> None: ...


class _NewNode(Protocol):
    def __call__(self, *address: object, **options: object) -> ClusterNode: ...


class Cluster:
    """Implements ``Nodes`` for Redis Cluster and Valkey Cluster.

    redis-py asks the nodes which of them has which slot, when first used, after a connection was lost, and when the
    cluster is down; MOVED replies correct single slots. Commands are sent by connections of this package (decision
    0025).

    While there are connections, each node that has some is pinged twice a second: one that is suspended or cut off does
    not answer, and a replica may have taken its place long before the deadline of its answers.
    """

    def __init__(self, settings: RedisSettings, options: NodeOptions) -> None:
        """Prepare; nothing connects yet."""
        self._settings = settings
        self._options = options
        self._manager = self._new_manager()
        self._nodes: dict[str, Node] = {}
        self._routes: dict[str, Node] = {}
        self._stale = True
        self._failed: str | None = None
        self._refreshed_at = 0.0
        self._refreshing = asyncio.Lock()
        self._next = 0
        self._watching: asyncio.Task[None] | None = None

    def known(self, key: str) -> Node | None:
        """Return the node that has the key's slot, as far as is known."""
        return None if self._stale else self._routes.get(hash_tag(key))

    async def find(self, key: str | None) -> Node:
        """Return the primary that has the key's slot; without a key, one after the other."""
        if self._stale:
            await self._refresh()
        if key is None:
            primaries = await self.primaries()
            if not primaries:
                raise Unreachable(_NO_SLOTS)
            self._next += 1
            return primaries[self._next % len(primaries)]
        tag = hash_tag(key)
        node = self._routes.get(tag)
        if node is None:
            served = self._manager.slots_cache.get(key_slot(tag.encode()))
            if not served:
                self._stale = True
                raise Unreachable("no node of the cluster serves this URI's slot")
            node = self._routes[tag] = self._node(served[0].name)
        return node

    async def primaries(self) -> list[Node]:
        """Return every primary that is known."""
        if self._stale:
            await self._refresh()
        found = [each.name for each in self._manager.nodes_cache.values() if each.server_type == _PRIMARY]
        return [self._node(each) for each in found]

    def guarded(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Return the keys and one that never exists.

        Scripts also use keys that they do not name. While a slot moves key by key, some of them are elsewhere, and a
        script would run on what is left. A key that is nowhere makes both nodes refuse it with TRYAGAIN or ASK until
        all keys have arrived.
        """
        return (*keys, f"{{{hash_tag(keys[0])}}}:{ABSENT_KEY}")

    async def redirect(self, error: RedisError) -> tuple[Node, bool] | None:
        """Return where MOVED and ASK lead."""
        if isinstance(error, ClusterDownError):
            self._stale = True
        if not isinstance(error, AskError):
            return None
        if isinstance(error, MovedError):
            self._routes.clear()
            try:
                await self._manager.move_slot(error)
            except LookupError:  # nobody had this slot
                self._stale = True
        target = cast("_Target", error)
        return self._node(f"{target.host}:{target.port}"), not isinstance(error, MovedError)

    def lost(self, node: Node) -> None:
        """Ask for the slots before the next command, and this node last."""
        self._stale, self._failed = True, node.address

    async def forget_connections(self) -> None:
        """Close idle connections, and ask for the slots before the next command."""
        self._stale = True
        for node in tuple(self._nodes.values()):
            await node.forget_connections()

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait((watching,))
        nodes, self._nodes, self._routes = tuple(self._nodes.values()), {}, {}
        for node in nodes:
            await node.close()
        manager, self._manager, self._stale = self._manager, self._new_manager(), True
        self._refreshing = asyncio.Lock()  # perhaps for another event loop
        await manager.aclose()
        await manager.aclose("startup_nodes")

    def _node(self, address: str) -> Node:
        node = self._nodes.get(address)
        if node is None:
            host, _, port = address.rpartition(":")
            server = f"[{host}]:{port}" if ":" in host else address
            node = self._nodes[address] = Node(address, self._settings.url_of(server), self._options)
        return node

    async def _refresh(self) -> None:
        """Ask for the slots, unless that was done a moment ago."""
        loop = asyncio.get_running_loop()
        async with self._refreshing:
            if not self._stale or (self._nodes and loop.time() < self._refreshed_at + _REFRESH_EVERY_SECONDS):
                return
            manager, failure = self._manager, cast("Exception | None", None)
            try:
                await manager.initialize(last_failed_node_name=self._failed)
            except RedisClusterException as error:
                failure = self._not_found(error)
            except IndexError:  # redis-py looks for a first primary
                failure = Unreachable(_NO_SLOTS)
            if manager is not self._manager:
                await manager.aclose()
                failure = Unreachable("the connection was closed meanwhile")
            if failure is not None:
                raise failure  # out here, as an error inside its own chain of causes would make that endless
            self._stale, self._refreshed_at = False, loop.time()
            self._routes.clear()
            for address in set(self._nodes) - set(self._manager.nodes_cache):
                await self._leave(address)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="event-backbone-cluster")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_PINGED_EVERY_SECONDS)
            await asyncio.gather(*(self._look_after(each) for each in tuple(self._nodes.values())))

    async def _look_after(self, node: Node) -> None:
        """Ping a node; if it does not answer and is no primary any more, leave it."""
        try:
            async with asyncio.timeout(_PINGED_WITHIN_SECONDS):
                await node.command(("PING",))
        except (RedisError, OSError):
            self.lost(node)
            with suppress(RedisError, OSError, ConfigurationError):  # raised again where a command is sent
                if node not in await self.primaries() and self._nodes.get(node.address) is node:
                    await self._leave(node.address)

    async def _leave(self, address: str) -> None:
        if (node := self._nodes.pop(address, None)) is not None:
            await node.drop_connections()
            await node.close()

    def _not_found(self, error: RedisClusterException) -> Exception:
        """Return the error that says why no node has told the slots."""
        cause = error.__cause__ or error.__context__
        if isinstance(cause, AuthenticationError):
            return cause
        answer = cause.__context__ if isinstance(cause, RedisClusterException) else None
        if isinstance(answer, NoPermissionError):
            return answer
        if isinstance(answer, ResponseError):
            return ConfigurationError(
                f"Redis at {self._settings.described} is not a cluster; use redis:// in {REDIS_ENDPOINT_VARIABLE}."
            )
        return cause if isinstance(cause, RedisError) else Unreachable("no node of the cluster answers")

    def _new_manager(self) -> _Manager:
        options = connection_options(self._settings.url_of(self._settings.servers[0]), _ANSWER_WITHIN)
        options = {name: value for name, value in options.items() if name not in _NOT_A_NODES}
        new_node = cast("_NewNode", ClusterNode)
        nodes = [new_node(*_host_and_port(each), **options) for each in self._settings.servers]
        return cast("_Manager", NodesManager(nodes, require_full_coverage=False, connection_kwargs=options))


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
