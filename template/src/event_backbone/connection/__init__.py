"""Connections to Redis: with deadlines, for scripts and blocking reads, and with errors of this package."""

from event_backbone.connection.blocking import LONGEST_WAIT, BlockingConnection
from event_backbone.connection.errors import error_prefix, redis_errors
from event_backbone.connection.event_loop import OneEventLoop
from event_backbone.connection.redis_connection import RedisConnection
from event_backbone.connection.script import ALLOW_OOM, Script
from event_backbone.connection.sentinel_views import SentinelView, ask_sentinels
from event_backbone.connection.server import evicts, info_fields, version_of

__all__ = [
    "ALLOW_OOM",
    "LONGEST_WAIT",
    "BlockingConnection",
    "OneEventLoop",
    "RedisConnection",
    "Script",
    "SentinelView",
    "ask_sentinels",
    "error_prefix",
    "evicts",
    "info_fields",
    "redis_errors",
    "version_of",
]
