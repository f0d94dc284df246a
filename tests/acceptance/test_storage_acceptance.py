"""Where payloads go, by the numbers of the acceptance list."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json
from redis.asyncio import Redis

from event_backbone import Backbone, ConfigurationError, Consumer, Context
from event_backbone.model import PayloadReference, SavedPayload
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    StorageScope,
)
from event_backbone.storage.base import OnPayloads
from event_backbone.testing import memory_backbone
from event_backbone.testing.servers import S3Server
from event_backbone.wire import Record
from tests.support.eventually import eventually
from tests.support.s3 import Server, s3_client
from tests.support.seaweed import ACCESS_KEY, SECRET, SeaweedServer
from tests.support.shipment import NOW, URI, ShipmentTracking, SplitShipments, consume

EMAIL, REST = "jo@example.com", {"product_id": 7, "time": "2026-01-02T03:04:05.678901Z"}


def arguments_in(server: Server, bucket: str, location: str) -> object:
    """Return the arguments of the one record in an object in this bucket."""
    key = location.removeprefix(f"s3://{bucket}/").partition(" ")[0]
    record: dict[str, object] = from_json(s3_client(server).get_object(Bucket=bucket, Key=key)["Body"].read())
    return record["arguments"]


async def consume_packing(backbone: Backbone) -> list[tuple[object, ...]]:
    """Return the arguments of the next packing, as a consumer gets them."""
    consumer = Consumer(SplitShipments)
    seen: list[tuple[object, ...]] = []

    @consumer.on(SplitShipments.packing)
    async def packing(ctx: Context, email: str | None, product_id: int, time: datetime | None) -> None:
        seen.append((email, product_id, time))

    await consume(backbone, consumer, 1)
    return seen


class _CountingStorage(MemoryStorage):
    """Remembers which arguments were saved, and how many payloads each call asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.saved: list[set[str]] = []
        self.loaded: list[int] = []

    async def save(self, scope: StorageScope, record: Record) -> SavedPayload:
        """Remember, and save."""
        self.saved.append(set(record.payload))
        return await super().save(scope, record)

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Remember, and load."""
        self.loaded.append(len(references))
        await super().load(scope, references, on_payloads)


async def test_item_10_a_payload_is_saved_once_in_the_storage_of_its_part() -> None:
    """One save and one load an event and part: what is for one argument gets that argument, the rest goes elsewhere."""
    private, rest, unused = _CountingStorage("private"), _CountingStorage("rest"), _CountingStorage("unused")
    async with memory_backbone(SplitStorage(rest, {"email": private, "text": unused})) as backbone:
        await backbone.producer(SplitShipments, uri=URI).packing(EMAIL, 7, NOW)
        assert await consume_packing(backbone) == [(EMAIL, 7, NOW)]
    assert (private.saved, private.loaded) == ([{"email"}], [1])
    assert (rest.saved, rest.loaded) == ([{"product_id", "time"}], [1])
    assert (unused.saved, unused.loaded) == ([], [])


async def test_item_40_personal_data_in_s3_and_the_rest_in_redis(
    redis_url: str, s3_server: S3Server, s3_environment: Mapping[str, str]
) -> None:
    """The consumer gets both parts as one event; after one part or both are erased, the event is still known."""
    bucket = s3_environment["S3_EVENT_SOURCE_BUCKET"]
    storage = SplitStorage(RedisHashStorage(), {"email": S3Storage()})
    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        key = await backbone.producer(SplitShipments, uri=URI).packing(EMAIL, 7, NOW)
        stored = await backbone.reader(URI).get(key)
        assert [reference.storage for reference in stored.references] == ["redis-hash", "s3"]
        in_redis, in_s3 = backbone.location(stored)
        assert arguments_in(s3_server, bucket, in_s3) == {"email": EMAIL}
        async with Redis.from_url(redis_url) as redis:
            kept = await redis.hgetall(in_redis)
        assert kept == {name.encode(): to_json(value) for name, value in REST.items()}
        assert await consume_packing(backbone) == [(EMAIL, 7, NOW)]
        assert await backbone.erase(URI, key, part="s3") == [in_s3]
        assert (await backbone.reader(URI).get(key)).arguments == REST
        await backbone.erase(URI, key)
        erased = await backbone.reader(URI).get(key)
        assert (erased.metadata.event, erased.payload) == ("packing", "erased")


class _AskedHash(RedisHashStorage):
    """A cache that notes when it is asked."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__(timedelta(hours=1))
        self._asked = asked

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Note, and load."""
        self._asked.append("cache")
        await super().load(scope, references, on_payloads)


class _AskedS3(S3Storage):
    """An origin that notes when it is asked."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__()
        self._asked = asked

    async def load(self, scope: StorageScope, references: Sequence[PayloadReference], on_payloads: OnPayloads) -> None:
        """Note, and load."""
        self._asked.append("origin")
        await super().load(scope, references, on_payloads)


@pytest.mark.usefixtures("s3_environment")
async def test_item_41_an_expired_hash_is_filled_again_from_s3(redis_url: str) -> None:
    """The cache is asked first and once, the origin only for what the cache has lost, and then not again."""
    asked: list[str] = []
    storage = CachedStorage(_AskedS3(asked), _AskedHash(asked))
    async with (
        Backbone(redis_url, storage=storage, environment="dev") as backbone,
        Redis.from_url(redis_url) as redis,
    ):
        reader = backbone.reader(URI)
        key = await backbone.producer(ShipmentTracking, uri=URI).packing(EMAIL, 7, NOW)
        stored = await reader.get(key)
        assert asked == ["cache"]
        copy = f"{{dev:{URI}}}:payload:{stored.metadata.event_id}"
        assert await redis.pexpire(copy, 1)

        async def has_expired() -> bool:
            return not await redis.exists(copy)

        await eventually(has_expired)
        asked.clear()
        assert (await reader.get(key)).arguments == {"email": EMAIL, **REST}
        assert asked == ["cache", "origin"]
        assert await redis.pttl(copy) > 0
        asked.clear()
        assert await consume_packing(backbone) == [(EMAIL, 7, NOW)]
        assert asked == ["cache"]


async def test_item_42_personal_data_in_another_bucket(
    redis_url: str, s3_server: S3Server, s3_environment: Mapping[str, str]
) -> None:
    """Each bucket has its part, and the consumer gets both as one event; another event is there whole."""
    bucket = s3_environment["S3_EVENT_SOURCE_BUCKET"]
    private_bucket = f"{bucket}-private"
    s3_server.create_bucket(private_bucket)
    private = S3Storage(S3Options(bucket=private_bucket), name="private")
    storage = SplitStorage(S3Storage(), {"email": private}, {"note": private})
    async with Backbone(redis_url, storage=storage, environment="dev") as backbone:
        key = await backbone.producer(SplitShipments, uri=URI).packing(EMAIL, 7, NOW)
        for_all, personal = backbone.location(await backbone.reader(URI).get(key))
        assert arguments_in(s3_server, bucket, for_all) == REST
        assert arguments_in(s3_server, private_bucket, personal) == {"email": EMAIL}
        assert await consume_packing(backbone) == [(EMAIL, 7, NOW)]
        note = await backbone.producer(SplitShipments, uri=URI).note("private")
        (whole,) = backbone.location(await backbone.reader(URI).get(note))
        assert arguments_in(s3_server, private_bucket, whole) == {"text": "private"}


@pytest.mark.usefixtures("s3_environment")
@pytest.mark.parametrize("environment", ["dev", ""])
async def test_item_43_s3_with_and_without_an_environment(redis_url: str, environment: str) -> None:
    """Options from environment variables; the object's key begins with the environment, if there is one."""
    async with Backbone(redis_url, storage=S3Storage(), environment=environment) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("in S3")
        stored = await backbone.reader(URI).get(key)
        assert stored.arguments == {"text": "in S3"}
        (location,) = backbone.location(stored)
        assert URI in location
        assert location.startswith("s3://events/dev/") is (environment == "dev")


@pytest.fixture
def _profiles(seaweed: SeaweedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS profiles with the right and with a wrong secret; there are no other credentials."""
    config = tmp_path / "config"
    config.write_text(
        "".join(
            f"[profile {name}]\nregion = us-east-1\nservices = local\n"
            f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"
            for name, secret in (("right", SECRET), ("wrong", "guessed"))
        )
        + f"[services local]\ns3 =\n  endpoint_url = {seaweed.endpoint}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))


@pytest.mark.usefixtures("_profiles")
@pytest.mark.parametrize("environment", ["dev", ""])
async def test_item_43_a_profile_signs_what_is_written_and_read(
    redis_url: str, seaweed: SeaweedServer, environment: str
) -> None:
    """The server accepts the credentials of the right profile, and refuses those of the wrong one."""
    storage = S3Storage(S3Options(bucket="events", profile="right"))
    async with Backbone(redis_url, storage=storage, environment=environment) as backbone:
        key = await backbone.producer(ShipmentTracking, uri=URI).note("signed")
        stored = await backbone.reader(URI).get(key)
        assert stored.arguments == {"text": "signed"}
        (location,) = backbone.location(stored)
        assert arguments_in(seaweed, "events", location) == {"text": "signed"}
    storage = S3Storage(S3Options(bucket="events", profile="wrong"))
    async with Backbone(redis_url, storage=storage, environment=environment) as backbone:
        with pytest.raises(ConfigurationError, match="credentials"):
            await backbone.producer(ShipmentTracking, uri=URI).note("forged")
