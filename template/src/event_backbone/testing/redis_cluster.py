"""An embedded Redis Cluster, for tests and development."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from itertools import combinations, cycle
from pathlib import Path

from event_backbone.errors import ConfigurationError
from event_backbone.testing.cluster_node import SLOTS, ClusterNode, NodeView, slot_of
from event_backbone.testing.free_port import LOOPBACK
from event_backbone.testing.server_set import ServerSet, ports_from
from event_backbone.testing.slot_move import SlotMove, move_at_once


class RedisCluster(ServerSet):
    """Primaries that share the slots evenly, and their replicas; started at once, in about two seconds.

    It ends with its owner, also when that crashes or is killed, and leaves no folder behind. ``kill``, ``start``,
    ``restart`` and ``pid`` of a node are for tests of faults: a primary that is dead or suspended for 0.7 seconds is
    replaced by a replica of it, within about as long again.
    """

    name = "The Redis cluster"

    def __init__(
        self,
        *,
        nodes: int = 3,
        replicas: int = 1,
        port: int | None = None,
        binary: str | Path | None = None,
        append_only: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        """Start the cluster and wait until every node serves it and every replica is in sync.

        Args:
            nodes: the primaries, at least three.
            replicas: the replicas of each.
            port: the port of the first node, the others take those after it; None takes free ones.
            binary: the server to run; None looks it up, see ``find_redis_binary``.
            append_only: keep an append-only file, so that a node that is killed and started again has its data.
            arguments: further options for each node, such as ``("--maxmemory", "10mb")``.

        Raises:
            ConfigurationError: no server is installed, or the cluster does not start; the text says why.
        """
        if nodes < 3 or replicas < 0:  # noqa: PLR2004 - fewer cannot elect a new primary
            raise ConfigurationError("A Redis cluster has at least three nodes, each with no replica or more.")
        super().__init__()
        self._make = partial(ClusterNode, binary=binary, append_only=append_only, arguments=arguments)
        self._nodes: list[ClusterNode] = []
        try:
            self._nodes = self._start(
                [partial(self._make, port=each) for each in ports_from(port, nodes * (1 + replicas))]
            )
            self._form(self._nodes[:nodes], self._nodes[nodes:])
        except BaseException:
            self.stop()
            raise

    @property
    def nodes(self) -> tuple[ClusterNode, ...]:
        """Every node, also those that were killed: first the primaries at the start, then their replicas."""
        return tuple(self._nodes)

    @property
    def url(self) -> str:
        """The endpoint, with the addresses of all nodes."""
        return "redis+cluster://" + ",".join(f"{LOOPBACK}:{node.port}" for node in self._nodes)

    def flush(self) -> None:
        """Remove every key of every primary."""
        for node in self._nodes:
            if node.is_primary():
                node.flush()

    def primary_of(self, key: str) -> ClusterNode:
        """The node that serves a key, such as that of a stream, ``environment:uri``, by what the nodes know by now."""
        return self._node_of(self._owner(key))

    def replicas_of(self, key: str) -> tuple[ClusterNode, ...]:
        """The replicas of the node that serves a key, also those that were killed."""
        owner = self._owner(key).id
        ports = {each.port for view in self._views().values() for each in view if each.primary_id == owner}
        return tuple(node for node in self._nodes if node.port in ports)

    def failover(self, key: str) -> ClusterNode:
        """Let a replica take over from the node that serves a key, without loss; return it once every node knows.

        Raises:
            ConfigurationError: there is no replica that can.
        """
        answering = self._views()
        replica = next((node for node in self.replicas_of(key) if node in answering), None)
        if replica is None:
            raise ConfigurationError(f"{self.name} has no replica of the node of {key!r} that could take over.")
        replica.command("CLUSTER", "FAILOVER")
        self._wait_until(lambda: self.primary_of(key) is replica and not self._missing())
        return replica

    def begin_move(self, key: str, *, to: ClusterNode) -> SlotMove:
        """Begin to move the slot of a key to another primary, key by key; the move goes on when it is told to."""
        return SlotMove(self._nodes, slot_of(key), self.primary_of(key), to)

    def move_slot(self, key: str, *, to: ClusterNode, atomic: bool = False) -> None:
        """Move the slot of a key, with all keys in it, to another primary; return once every node knows.

        Args:
            key: any key of the slot.
            to: the primary that gets it.
            atomic: all keys at one moment (CLUSTER MIGRATESLOTS, from Valkey 9), instead of key by key.

        Raises:
            ConfigurationError: the servers refuse or cannot do it; the text says why.
        """
        if atomic:
            move_at_once(slot_of(key), self.primary_of(key), to)
        else:
            self.begin_move(key, to=to).finish()
        self._wait_until(lambda: self.primary_of(key) is to and not self._missing())

    def add_node(self) -> ClusterNode:
        """Add a primary that has no slots yet; return it once every node knows it."""
        (node,) = self._start([partial(self._make, port=None)])
        self._nodes.append(node)
        self._nodes[0].command("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)
        self.wait_ready()
        return node

    def remove_node(self, node: ClusterNode) -> None:
        """End a node that will not come back; return once a replica has its slots and the others have forgotten it.

        Raises:
            ConfigurationError: it has slots, and no replica took them.
        """
        gone = node.id
        node.stop()
        self._wait_until(lambda: not self._missing())
        self._nodes.remove(node)
        self._wait_until(lambda: self._forgotten(gone))

    def _form(self, primaries: Sequence[ClusterNode], replicas: Sequence[ClusterNode]) -> None:
        for number, node in enumerate(primaries):
            first, after = (SLOTS * each // len(primaries) for each in (number, number + 1))
            node.command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for one, other in combinations(self._nodes, 2):
            one.command("CLUSTER", "MEET", LOOPBACK, other.port, other.bus_port)
        ids = {node.id for node in self._nodes}
        self._wait_until(lambda: all(ids == {each.id for each in view} for view in self._views().values()))
        for replica, primary in zip(replicas, cycle(primaries), strict=False):
            replica.command("CLUSTER", "REPLICATE", primary.id)
        self.wait_ready()

    def _forgotten(self, node_id: str) -> bool:
        forgotten = True
        for node, view in self._views().items():
            if any(each.id == node_id for each in view):
                forgotten = False
                with contextlib.suppress(ConfigurationError):  # nodes also tell each other whom to forget
                    node.command("CLUSTER", "FORGET", node_id)
        return forgotten

    def _views(self) -> dict[ClusterNode, list[NodeView]]:
        """What each node knows that answers."""
        views: dict[ClusterNode, list[NodeView]] = {}
        for node in self._nodes:
            with contextlib.suppress(OSError, ConfigurationError):
                views[node] = node.view()
        return views

    def _owner(self, key: str) -> NodeView:
        # The higher epoch counts, as among the nodes: one that was away may still believe that it has the slot.
        slot = slot_of(key)
        owners = [each for view in self._views().values() for each in view if each.owns(slot)]
        if not owners:
            raise ConfigurationError(f"{self.name} has no node that knows the slot of {key!r}.")
        return max(owners, key=lambda each: each.epoch)

    def _node_of(self, view: NodeView) -> ClusterNode:
        return next(node for node in self._nodes if node.port == view.port)

    def _missing(self) -> str:
        views = self._views()
        answering = {node.port for node in views}
        known = [{each.known() for each in view if each.slots or each.port in answering} for view in views.values()]
        if not known or any(each != known[0] for each in known):
            return "the nodes do not know the same of each other yet."
        if absent := {each.port for view in views.values() for each in view if each.slots} - answering:
            return f"the node at port {min(absent)} has slots and does not answer."
        waiting = [node.port for node in views if not node.serves()]
        return f"the node at port {waiting[0]} does not serve yet." if waiting else ""
