"""For tests: a context for handlers, sample arguments, a backbone in memory, a whole worker's run, and real servers.

Each name is imported on first use, so that starting a server does not import the whole runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from event_backbone.contract import assert_round_trip
    from event_backbone.testing.handler_context import context
    from event_backbone.testing.memory import memory_backbone
    from event_backbone.testing.samples import sample_arguments, sample_json
    from event_backbone.testing.servers import RedisServer, S3Server
    from event_backbone.testing.worker_run import handle_all

__all__ = [
    "RedisServer",
    "S3Server",
    "assert_round_trip",
    "context",
    "handle_all",
    "memory_backbone",
    "sample_arguments",
    "sample_json",
]

_HOMES = {
    "RedisServer": "event_backbone.testing.servers",
    "S3Server": "event_backbone.testing.servers",
    "assert_round_trip": "event_backbone.contract",
    "context": "event_backbone.testing.handler_context",
    "handle_all": "event_backbone.testing.worker_run",
    "memory_backbone": "event_backbone.testing.memory",
    "sample_arguments": "event_backbone.testing.samples",
    "sample_json": "event_backbone.testing.samples",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
