"""A node of an embedded Redis Cluster, and what nodes know of each other."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from event_backbone.errors import ConfigurationError
from event_backbone.testing.free_port import LOOPBACK, free_port
from event_backbone.testing.redis_server import ANSWER_SOON, RedisServer
from event_backbone.testing.resp import lines_of

SLOTS = 16384
# A dead node is noticed after this long, and replaced within as long again.
_NODE_TIMEOUT_MILLISECONDS = 700


def slot_of(key: str) -> int:
    """The slot of a key: of what its first braces enclose, or of the whole."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return crc_hqx((tag if opened and closed and tag else key).encode(), 0) % SLOTS


@dataclass(frozen=True, slots=True)
class NodeView:
    """What one node knows of another, or of itself: a line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    primary_id: str
    epoch: int
    linked: bool
    slots: tuple[range, ...]

    @classmethod
    def of(cls, line: str) -> NodeView:
        """Read a line; slots that are being moved belong to the node that still owns them."""
        node_id, address, flags, primary_id, _, _, epoch, link, *slots = line.split(" ")
        port = int(address.partition("@")[0].rpartition(":")[2])
        owned = tuple(_slots(each) for each in slots if not each.startswith("["))
        return cls(node_id, port, frozenset(flags.split(",")), primary_id, int(epoch), link == "connected", owned)

    def known(self) -> tuple[object, ...]:
        """What all nodes know alike once they agree."""
        return self.id, self.port, self.flags - {"myself"}, self.primary_id, self.slots

    def owns(self, slot: int) -> bool:
        """Whether the slot is its own."""
        return any(slot in each for each in self.slots)


class ClusterNode(RedisServer):
    """One server of a cluster. What it knows of the cluster is in its folder: after ``restart`` it joins again."""

    def __init__(
        self, *, port: int | None, binary: str | Path | None, append_only: bool, arguments: Sequence[str]
    ) -> None:
        """Start the node alone: it knows no other, and has no slots."""
        self._bus_port = 0
        self._settled = False
        super().__init__(
            port=port, binary=binary, append_only=append_only, arguments=arguments, name="The cluster node"
        )

    @property
    def id(self) -> str:
        """The node's id in the cluster."""
        return self.itself().id

    def itself(self) -> NodeView:
        """What the node knows of itself."""
        return next(each for each in self.view() if "myself" in each.flags)

    @property
    def bus_port(self) -> int:
        """The port on which the nodes of the cluster talk to each other."""
        return self._bus_port

    def start(self) -> None:
        """Start the node, after ``kill`` on the same ports and with the configuration it left."""
        super().start()
        self._settled = True

    def view(self) -> list[NodeView]:
        """What the node knows of the cluster."""
        return [NodeView.of(line) for line in lines_of(self.command("CLUSTER", "NODES", timeout=ANSWER_SOON))]

    def is_primary(self) -> bool:
        """Whether it answers, and is a primary by what it knows itself."""
        try:
            return "master" in self.itself().flags
        except (OSError, ConfigurationError):
            return False

    def serves(self) -> bool:
        """Whether it finds the cluster healthy and, as a replica, is in sync with its primary."""
        if "cluster_state:ok" not in lines_of(self.command("CLUSTER", "INFO")):
            return False
        replication = lines_of(self.command("INFO", "replication"))
        return "role:master" in replication or "master_link_status:up" in replication

    def _command(self, port: int) -> list[str]:
        if not self._settled:
            self._bus_port = free_port()
        options = {
            "--cluster-enabled": "yes",
            "--cluster-port": self._bus_port,
            "--cluster-announce-ip": LOOPBACK,
            # Data files may be in a folder of the caller's; what the node knows of the others is its own.
            "--cluster-config-file": "nodes.conf",
            # A primary without slots stays one: slots can be moved to it, and away from it.
            "--cluster-allow-replica-migration": "no",
            "--cluster-node-timeout": _NODE_TIMEOUT_MILLISECONDS,
            "--repl-diskless-sync-delay": 0,
        }
        command, own = super()._command(port), [str(word) for option in options.items() for word in option]
        return [command[0], *own, *command[1:]]  # what the caller gave comes last, and counts

    def _may_try_other_ports(self) -> bool:
        return not self._settled


def _slots(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
