"""For tests: a context for handlers, sample arguments, a backbone in memory, a whole worker's run, and real servers.

Each name is imported on first use, so that starting a server does not import the whole runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from event_backbone.contract import EventDefinition, assert_round_trip, check, events_of, send_of
    from event_backbone.manifest import edited_files
    from event_backbone.testing.handler_batch import batch
    from event_backbone.testing.handler_context import context
    from event_backbone.testing.memory import memory_backbone
    from event_backbone.testing.samples import sample_arguments, sample_json
    from event_backbone.testing.servers import ClusterNode, RedisCluster, RedisSentinel, RedisServer, S3Server, SlotMove
    from event_backbone.testing.worker_run import handle_all

__all__ = [
    "ClusterNode",
    "EventDefinition",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "S3Server",
    "SlotMove",
    "assert_round_trip",
    "batch",
    "check",
    "context",
    "edited_files",
    "events_of",
    "handle_all",
    "memory_backbone",
    "sample_arguments",
    "sample_json",
    "send_of",
]

_HOMES = {
    "ClusterNode": "event_backbone.testing.servers",
    "EventDefinition": "event_backbone.contract",
    "RedisCluster": "event_backbone.testing.servers",
    "RedisSentinel": "event_backbone.testing.servers",
    "RedisServer": "event_backbone.testing.servers",
    "S3Server": "event_backbone.testing.servers",
    "SlotMove": "event_backbone.testing.servers",
    "assert_round_trip": "event_backbone.contract",
    "batch": "event_backbone.testing.handler_batch",
    "check": "event_backbone.contract",
    "context": "event_backbone.testing.handler_context",
    "edited_files": "event_backbone.manifest",
    "events_of": "event_backbone.contract",
    "handle_all": "event_backbone.testing.worker_run",
    "memory_backbone": "event_backbone.testing.memory",
    "sample_arguments": "event_backbone.testing.samples",
    "sample_json": "event_backbone.testing.samples",
    "send_of": "event_backbone.contract",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
