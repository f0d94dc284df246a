"""Moves a slot from one node of an embedded cluster to another: key by key, or all at one moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from event_backbone.errors import ConfigurationError
from event_backbone.testing.cluster_node import ClusterNode
from event_backbone.testing.free_port import LOOPBACK
from event_backbone.testing.resp import items_of, named_values_of, texts_of

_BATCH = 100
_MIGRATE_WITHIN = timedelta(seconds=20)
_POLL_SECONDS = 0.01
_FAILED = {"failed", "cancelled"}


class SlotMove:
    """A move that has begun: a client is asked to look for keys that already moved at the target (ASK)."""

    def __init__(self, nodes: Sequence[ClusterNode], slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Begin the move; no key is moved yet."""
        self._nodes = nodes
        self.slot = slot
        self.source = source
        self.target = target
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, at_most: int = _BATCH) -> int:
        """Move some keys of the slot; return how many."""
        keys = texts_of(self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, at_most))
        if keys:
            where = (LOOPBACK, self.target.port, "", 0, int(_MIGRATE_WITHIN.total_seconds() * 1000))
            self.source.command("MIGRATE", *where, "REPLACE", "KEYS", *keys, timeout=_MIGRATE_WITHIN)
        return len(keys)

    def finish(self) -> None:
        """Move the other keys, and give the slot to the target."""
        while self.move_keys():
            pass
        # The target first: a slot that nobody owns for a moment would be lost if the source ended now.
        others = [each for each in self._nodes if each not in {self.source, self.target} and each.is_primary()]
        for node in (self.target, self.source, *others):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self.target.id)


def move_at_once(slot: int, source: ClusterNode, target: ClusterNode) -> None:
    """Let the servers move a slot with all its keys at one moment; return when they have.

    Raises:
        ConfigurationError: the servers cannot do this, or the move failed; the text says why.
    """
    source.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
    deadline = time.monotonic() + _MIGRATE_WITHIN.total_seconds()
    while (migration := _last_migration(source)).get("state") != "success":
        if migration.get("state") in _FAILED or time.monotonic() > deadline:
            raise ConfigurationError(f"Slot {slot} was not moved: {migration.get('message') or migration.get('state')}")
        time.sleep(_POLL_SECONDS)


def _last_migration(source: ClusterNode) -> dict[str, str]:
    """What the node tells of its newest migration."""
    return named_values_of(items_of(source.command("CLUSTER", "GETSLOTMIGRATIONS"))[0])
