"""Where payloads go, as the system that this one succeeds had it; the numbers are those of its list."""

from datetime import datetime
from typing import Any

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.model import StreamName
from event_backbone.storage import MemoryStorage, RedisHashStorage, S3Storage, SplitStorage, StorageScope
from event_backbone.testing.memory import memory_backbone
from tests.support.shipment import NOW, URI, ShipmentTracking, consume


class _CountingStorage(MemoryStorage):
    """Counts what is saved, and remembers which arguments."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.saved: list[set[str]] = []

    async def save(self, scope: StorageScope, event_id: Any, payload: Any) -> Any:
        """Count, and save."""
        self.saved.append(set(payload))
        return await super().save(scope, event_id, payload)


async def test_item_10_a_payload_is_saved_once_in_the_storage_of_its_part() -> None:
    """One save an event and part: what is scoped to an argument gets that argument, the rest goes elsewhere."""
    private, rest = _CountingStorage("private"), _CountingStorage("rest")
    async with memory_backbone(SplitStorage(rest, {"email": private})) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, NOW)
        assert (await backbone.reader(URI).get(key)).arguments["email"] == "jo@example.com"
    assert private.saved == [{"email"}]
    assert rest.saved == [{"product_id", "time"}]


@pytest.mark.usefixtures("s3_environment")
async def test_item_40_personal_data_in_s3_and_the_rest_in_redis(redis_url: str) -> None:
    """The consumer gets both parts as one event; erasing the one leaves the event known, without its payload."""
    storage = SplitStorage(RedisHashStorage(), {"email": S3Storage()})
    consumer = Consumer(ShipmentTracking)
    seen: list[tuple[object, ...]] = []

    @consumer.on(ShipmentTracking.packing)
    async def packing(ctx: Context, email: str, product_id: int, time: datetime) -> None:
        seen.append((email, product_id, time))

    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).packing("jo@example.com", 7, NOW)
        stored = await backbone.reader(URI).get(key)
        assert {reference.storage for reference in stored.references} == {"redis-hash", "s3"}
        await consume(backbone, consumer, 1)
    assert seen == [("jo@example.com", 7, NOW)]


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("environment", ["dev", ""])
async def test_item_43_s3_with_and_without_an_environment(redis_url: str, environment: str) -> None:
    """Options from environment variables; the object lies below the environment, or below nothing."""
    async with Backbone(redis_url, storage=S3Storage(), environment=environment) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("in S3")
        stored = await backbone.reader(URI).get(key)
        assert stored.arguments == {"text": "in S3"}
        (location,) = backbone.location(stored)
        assert StreamName.of(URI).uri in location
        assert ("dev" in location) is (environment == "dev")
