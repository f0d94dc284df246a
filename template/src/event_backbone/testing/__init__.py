"""For tests: a context for handlers, a backbone in memory, a round-trip check, and real servers.

Each name is imported on first use, so that starting a server does not import the whole runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from event_backbone.contract import assert_round_trip
    from event_backbone.testing.handler_context import context
    from event_backbone.testing.memory import memory_backbone
    from event_backbone.testing.servers import RedisServer, S3Server

__all__ = ["RedisServer", "S3Server", "assert_round_trip", "context", "memory_backbone"]

_HOMES = {
    "RedisServer": "event_backbone.testing.servers",
    "S3Server": "event_backbone.testing.servers",
    "assert_round_trip": "event_backbone.contract",
    "context": "event_backbone.testing.handler_context",
    "memory_backbone": "event_backbone.testing.memory",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
