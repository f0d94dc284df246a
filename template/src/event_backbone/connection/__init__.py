"""Connections to Redis: clients with deadlines, scripts, and Redis' errors in our words."""

from event_backbone.connection.errors import redis_errors, refusal
from event_backbone.connection.event_loop import OneEventLoop
from event_backbone.connection.redis_connection import RedisConnection
from event_backbone.connection.script import Script
from event_backbone.connection.server import evicts, info_fields, version_of
from event_backbone.connection.waiting import LONGEST_WAIT, WaitingConnection

__all__ = [
    "LONGEST_WAIT",
    "OneEventLoop",
    "RedisConnection",
    "Script",
    "WaitingConnection",
    "evicts",
    "info_fields",
    "redis_errors",
    "refusal",
    "version_of",
]
