"""How long saves take: each storage that keeps a payload, or a part of it, is measured once."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from event_backbone.producer import Batcher
from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, S3Storage, SplitStorage, Storage
from tests.support.metrics import CountedMetrics
from tests.support.producing import producer_of

STORAGES: dict[str, tuple[Callable[[str], Storage], set[str]]] = {
    "memory": (lambda _: MemoryStorage(), {"memory"}),
    "redis-hash": (lambda url: RedisHashStorage(redis=url), {"redis-hash"}),
    "s3": (lambda _: S3Storage(), {"s3"}),
    "cached": (lambda url: CachedStorage(S3Storage(), RedisHashStorage(redis=url, name="cache")), {"s3", "cache"}),
    "split": (lambda _: SplitStorage(S3Storage(), {"email": MemoryStorage()}), {"s3", "memory"}),
}


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("kind", STORAGES)
async def test_a_save_is_measured_once_by_each_storage(kind: str, batcher: Batcher, redis_url: str) -> None:
    """One event, one ``payload_duration`` with operation ``save`` under the name of each storage that keeps it."""
    make, names = STORAGES[kind]
    storage, metrics = make(redis_url), CountedMetrics()
    await producer_of(batcher, storage=storage).packing("jo@example.com", 7, datetime.now(UTC))
    await storage.close()
    counted = {
        name: metrics.count("event_backbone.payload_duration", storage=name, operation="save")
        for name in ("memory", "redis-hash", "s3", "cache")
    }
    assert {name: count for name, count in counted.items() if count} == dict.fromkeys(names, 1)
