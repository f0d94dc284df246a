"""Where payloads are kept: Redis hashes, S3, S3 behind a cache, split by event and argument, or memory."""

from event_backbone.storage.base import Storage, StorageScope
from event_backbone.storage.cached import CachedStorage
from event_backbone.storage.memory import MemoryStorage
from event_backbone.storage.parts import Part
from event_backbone.storage.redis_hash import RedisHashStorage
from event_backbone.storage.s3 import S3Options, S3Storage
from event_backbone.storage.split import SplitStorage

__all__ = [
    "CachedStorage",
    "MemoryStorage",
    "Part",
    "RedisHashStorage",
    "S3Options",
    "S3Storage",
    "SplitStorage",
    "Storage",
    "StorageScope",
]
