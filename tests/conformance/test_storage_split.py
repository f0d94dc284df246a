"""A payload split by argument: personal data in a separate storage."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.contract import Contract, event
from event_backbone.errors import ConfigurationError, PayloadErased, StorageMissing, StorageUnavailable
from event_backbone.model import Payload
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    Storage,
)
from event_backbone.storage.loading import collect_event_payloads, collect_references
from event_backbone.testing import memory_backbone
from tests.conformance.storage_cases import place_of, redis_case, s3_case
from tests.conformance.storage_suite import PAYLOAD, ByIdSuite, StorageCase, StorageSuite, VisibleSuite
from tests.support.shipment import ShipmentTracking

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class TestSplitOverRedisAndS3(StorageSuite, VisibleSuite):
    """The suite with e-mail addresses in Redis for an hour, and the rest in S3."""

    @pytest.fixture
    def case(self, client: "S3Client", connection: RedisConnection, redis: Redis) -> StorageCase:
        """Both empty."""
        personal = RedisHashStorage(timedelta(hours=1), name="personal")
        storage = SplitStorage(default=S3Storage(), by_argument={"email": personal, "größe": personal})
        in_redis, in_s3 = redis_case(storage, redis, connection), s3_case(storage, client)

        def holder_of(location: str) -> StorageCase:
            return in_redis if location.startswith("{") else in_s3

        async def look(location: str) -> bytes | None:
            return await holder_of(location).look(location)

        async def remove(location: str) -> None:
            await holder_of(location).remove(location)

        return StorageCase(storage, connection, look, remove)


class TestSplitInMemory(StorageSuite, ByIdSuite):
    """The suite over three storages that save at once."""

    @pytest.fixture
    def case(self) -> StorageCase:
        """All empty."""
        parts = {"email": MemoryStorage("personal"), "time": MemoryStorage("times"), "blob": MemoryStorage("blobs")}
        return StorageCase(SplitStorage(default=MemoryStorage(), by_argument=parts))


@pytest.fixture
def personal() -> MemoryStorage:
    """Where e-mail addresses are."""
    return MemoryStorage("personal")


@pytest.fixture
def rest() -> MemoryStorage:
    """Where the rest is."""
    return MemoryStorage("rest")


@pytest.fixture
def case(personal: MemoryStorage, rest: MemoryStorage) -> StorageCase:
    """Both empty."""
    return StorageCase(SplitStorage(default=rest, by_argument={"email": personal}))


async def test_each_argument_is_in_its_storage(case: StorageCase, personal: MemoryStorage, rest: MemoryStorage) -> None:
    """And nowhere else."""
    first, second = await case.save(PAYLOAD)
    assert (first.storage, second.storage) == ("rest", "personal")
    assert await collect_references(case.scope(), personal, (second,)) == [{"email": PAYLOAD["email"]}]
    assert await collect_references(case.scope(), rest, (first,)) == [
        {name: value for name, value in PAYLOAD.items() if name != "email"}
    ]


@pytest.mark.parametrize(
    ("payload", "storages"),
    [({"email": b'"a"'}, ["personal"]), ({"product_id": b"1"}, ["rest"]), ({}, ["rest"])],
)
async def test_a_storage_without_a_part_has_no_reference(
    case: StorageCase, payload: Payload, storages: list[str]
) -> None:
    """So reading does not ask it; an event without arguments has one reference anyway."""
    references = await case.save(payload)
    assert [reference.storage for reference in references] == storages
    assert await case.load_one(references) == payload


async def test_one_part_erased_makes_the_event_erased(case: StorageCase, personal: MemoryStorage) -> None:
    """Personal data is erased separately; that is the event's outcome, not a missing argument."""
    references = await case.save(PAYLOAD)
    await personal.erase(case.scope(), references[1:])
    assert isinstance(await case.load_one(references), PayloadErased)


async def test_a_final_outcome_counts_before_an_outage(case: StorageCase, personal: MemoryStorage) -> None:
    """Waiting for one part is useless when another one will never come."""
    away = RedisHashStorage(redis="redis://127.0.0.1:1", name="away")
    storages: Mapping[str, Storage] = {**case.storage.readable(), "rest": away}
    references = await case.save(PAYLOAD)
    (waiting,) = await collect_event_payloads(case.scope(), storages, [references])
    assert isinstance(waiting, StorageUnavailable)
    await personal.erase(case.scope(), references[1:])
    (erased,) = await collect_event_payloads(case.scope(), storages, [references])
    assert isinstance(erased, PayloadErased)
    await away.close()


async def test_a_storage_that_is_not_configured_is_named(case: StorageCase, rest: MemoryStorage) -> None:
    """An event of a split can only be read with all of its storages."""
    references = await case.save(PAYLOAD)
    (answer,) = await collect_event_payloads(case.scope(), rest.readable(), [references])
    assert isinstance(answer, StorageMissing)
    assert "No storage named 'personal'" in str(answer)


async def test_parts_may_have_a_cache_each(connection: RedisConnection, redis: Redis) -> None:
    """Of different names, so that their hashes differ."""
    storage = SplitStorage(
        default=CachedStorage(MemoryStorage("rest"), RedisHashStorage(name="cache")),
        by_argument={"email": CachedStorage(MemoryStorage("personal"), RedisHashStorage(name="personal-cache"))},
    )
    case = StorageCase(storage, connection)
    references = await case.save(PAYLOAD)
    assert {reference.storage for reference in references} == {"rest", "personal"}
    for reference, cache in zip(references, ("cache", "personal-cache"), strict=True):
        assert await redis.exists(f"{{dev:shipments}}:payload:{cache}:{reference.event_id}")
    assert await case.load_one(references) == PAYLOAD
    await storage.check(case.scope())


class Invoices(Contract):
    """A contract beside that of shipments."""

    @event
    def sent(self, vat_number: str) -> None:
        """An invoice is on its way."""


async def test_parts_may_be_in_packs_of_two_storages(client: "S3Client") -> None:
    """Each has its own packs and marker; one part of an event can be erased, which concerns no other event."""
    personal = S3Storage(S3Options(prefix="personal"), name="personal")
    case = s3_case(SplitStorage(default=S3Storage(), by_argument={"email": personal}), client)
    payloads: list[Payload] = [{**PAYLOAD, "product_id": b"%d" % n} for n in range(40)]
    saved = await asyncio.gather(*(case.save(payload) for payload in payloads))
    assert len({place_of(location) for references in saved for location in case.locations(references)}) == 2
    assert await case.load(*saved) == payloads
    await case.storage.erase(case.scope(), saved[7][1:])
    answers = await case.load(*saved)
    assert isinstance(answers.pop(7), PayloadErased)
    assert answers == payloads[:7] + payloads[8:]
    assert await case.load(saved[7][:1]) == [{"product_id": b"7", "time": PAYLOAD["time"]}]


async def test_a_name_that_no_event_has_is_said_once_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    """Its argument would stay in the default storage; a split for several contracts is fine."""
    personal = MemoryStorage("personal")
    names = ("email", "vat_number", "vat_numbr", "zzz")
    storage = SplitStorage(default=MemoryStorage(), by_argument=dict.fromkeys(names, personal))
    async with memory_backbone(storage=storage) as backbone:
        for contract in (ShipmentTracking, Invoices, ShipmentTracking):
            backbone.producer(contract, uri="shipments")
    assert caplog.messages == [
        "SplitStorage(by_argument=...) names 'vat_numbr', an argument that no event has; did you mean 'vat_number'?",
        "SplitStorage(by_argument=...) names 'zzz', an argument that no event has.",
    ]


def test_two_storages_of_one_name_are_refused() -> None:
    """References could not distinguish them, and they would share a hash; caches count too."""
    cached = CachedStorage(MemoryStorage("s3"), RedisHashStorage())
    for other in (RedisHashStorage(), CachedStorage(MemoryStorage("other"), RedisHashStorage())):
        with pytest.raises(ConfigurationError, match="are named 'redis-hash'"):
            SplitStorage(default=cached, by_argument={"email": other})
