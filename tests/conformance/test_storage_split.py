"""A payload split by argument: personal data in a separate storage."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import (
    PayloadErased,
    PayloadGone,
    PayloadNotGiven,
    StorageError,
    StorageMissing,
    StorageUnavailable,
)
from event_backbone.model import PartialPayload, Payload
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    Part,
    RedisHashStorage,
    S3Options,
    S3Storage,
    SplitStorage,
    Storage,
)
from event_backbone.storage.loading import collect_event_payloads, collect_references
from tests.conformance.storage_cases import place_of, redis_case, s3_case
from tests.conformance.storage_suite import PAYLOAD, ByIdSuite, StorageCase, StorageSuite, VisibleSuite
from tests.support.eventually import eventually

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


async def test_an_outage_of_one_part_is_waited_for_whatever_became_of_the_others(
    case: StorageCase, personal: MemoryStorage
) -> None:
    """What it has may be delivered later, without what was erased."""
    away = RedisHashStorage(redis="redis://127.0.0.1:1", name="away")
    storages: Mapping[str, Storage] = {**case.storage.readable(), "rest": away}
    references = await case.save(PAYLOAD)
    await personal.erase(case.scope(), references[1:])
    (waiting,) = await collect_event_payloads(case.scope(), storages, [references])
    assert isinstance(waiting, StorageUnavailable)
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


HOUR = timedelta(hours=1)


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
    partial = answers.pop(7)
    assert isinstance(partial, PartialPayload)
    assert partial == {"product_id": b"7", "time": PAYLOAD["time"]}
    assert answers == payloads[:7] + payloads[8:]


REASONS: dict[str, tuple[Callable[[], Storage], type[StorageError]]] = {
    "a hash that has expired": (lambda: RedisHashStorage(timedelta(milliseconds=1), name="personal"), PayloadGone),
    "erased in S3": (lambda: S3Storage(name="personal"), PayloadErased),
    "erased behind a cache": (
        lambda: CachedStorage(S3Storage(name="personal"), RedisHashStorage(HOUR, name="cache")),
        PayloadErased,
    ),
    "deleted by hand": (lambda: S3Storage(name="personal"), PayloadGone),
    "not given": (lambda: S3Storage(name="personal"), PayloadNotGiven),
}


@pytest.mark.parametrize("reason", REASONS)
async def test_the_rest_of_a_payload_is_loaded_without_a_missing_part(
    reason: str, client: "S3Client", connection: RedisConnection, redis: Redis
) -> None:
    """It is known why the part is missing; an event that has only this part has the error itself."""
    kept, expected = REASONS[reason]
    writing = StorageCase(SplitStorage(MemoryStorage("rest"), {"email": kept()}), connection)
    events = [await writing.save(PAYLOAD), await writing.save({"email": b'"a@b.c"'})]
    personal = [each for references in events for each in references if each.storage == "personal"]
    if reason.startswith("erased"):
        await writing.storage.erase(writing.scope(), personal)
    elif reason == "deleted by hand":
        for reference in personal:
            await s3_case(writing.storage, client).remove(writing.storage.location(writing.scope(), reference))
    elif reason == "a hash that has expired":
        await eventually(lambda: _no_payload(redis))
    part = Part("personal", optional=True) if reason == "not given" else kept()
    reading = {**writing.storage.readable(), **SplitStorage(MemoryStorage("other"), {"email": part}).readable()}
    rest, nothing = await collect_event_payloads(writing.scope(), reading, events)
    assert isinstance(rest, PartialPayload)
    assert rest == {name: value for name, value in PAYLOAD.items() if name != "email"}
    assert {name: type(error) for name, error in rest.missing.items()} == {"personal": expected}
    assert type(nothing) is expected


async def _no_payload(redis: Redis) -> bool:
    return await redis.dbsize() == 0
