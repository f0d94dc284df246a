"""S3 behind a cache in Redis."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError, PayloadErased, PayloadGone, StorageUnavailable
from event_backbone.model import new_event_id
from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, S3Storage, SplitStorage, Storage
from event_backbone.storage.base import Cache
from event_backbone.storage.loading import collect_references
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_cases import place_of, s3_case
from tests.conformance.storage_suite import PAYLOAD, StorageCase, StorageSuite
from tests.support.eventually import eventually
from tests.support.metrics import CountedMetrics

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HOUR = timedelta(hours=1)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


class TestCachedOnTheStreamsOwnServer(StorageSuite):
    """The suite on S3 behind hashes that are written with the entry."""

    @pytest.fixture
    def case(self, cached: StorageCase) -> StorageCase:
        """Both empty."""
        return cached


class TestCachedOnAnotherServer(StorageSuite):
    """The suite on S3 behind a cache on its own server."""

    @pytest.fixture
    async def case(self, client: "S3Client", redis_url: str) -> AsyncIterator[StorageCase]:
        """Both empty."""
        case = s3_case(CachedStorage(S3Storage(), RedisHashStorage(HOUR, redis=redis_url)), client)
        yield case
        await case.storage.close()


@pytest.fixture
def cached(client: "S3Client", connection: RedisConnection) -> StorageCase:
    """S3 behind hashes on the stream's own server."""
    case = s3_case(CachedStorage(S3Storage(), RedisHashStorage(HOUR)), client)
    case.redis = connection
    return case


async def test_it_saves_to_both_and_refers_to_the_origin(cached: StorageCase, redis: Redis) -> None:
    """The durable copy is the one that counts, and the cache is warm from the start."""
    (reference,) = await cached.save(PAYLOAD)
    assert reference.storage == "s3"
    assert await cached.look(cached.locations((reference,))[0]) is not None
    assert await redis.exists("{dev:shipments}:payload:" + reference.event_id)


async def test_the_origin_is_not_asked_for_what_the_cache_has(cached: StorageCase) -> None:
    """The event is read though its object is gone."""
    references = await cached.save(PAYLOAD)
    await cached.remove(cached.locations(references)[0])
    assert await cached.load_one(references) == PAYLOAD


async def test_what_the_cache_lost_is_read_from_the_origin_and_put_back(cached: StorageCase, redis: Redis) -> None:
    """With its time to live; the next reader finds it there."""
    references = [await cached.save(PAYLOAD) for _ in range(3)]
    await redis.flushdb()
    assert await cached.load(*references) == [PAYLOAD] * 3
    keys = ["{dev:shipments}:payload:" + reference.event_id for (reference,) in references]
    assert all([0 < await redis.pttl(key) <= 3_600_000 for key in keys])
    for each in references:
        await cached.remove(cached.locations(each)[0])
    assert await cached.load(*references) == [PAYLOAD] * 3


async def test_of_a_pack_only_what_was_asked_for_is_put_into_the_cache(cached: StorageCase, redis: Redis) -> None:
    """Two lines of three are loaded; the third is read with them, and copied only when somebody wants it."""
    saved = await asyncio.gather(*(cached.save({**PAYLOAD, "n": b"%d" % n}) for n in range(3)))
    assert len({place_of(cached.locations(each)[0]) for each in saved}) == 1
    await redis.flushdb()
    assert await cached.load(*saved[:2]) == [{**PAYLOAD, "n": b"%d" % n} for n in range(2)]
    keys = ["{dev:shipments}:payload:" + reference.event_id for (reference,) in saved]
    assert [await redis.exists(key) for key in keys] == [1, 1, 0]
    await cached.storage.erase(cached.scope(), saved[2])
    await redis.flushdb()
    answers = await cached.load(*saved)
    assert [type(answer) for answer in answers] == [dict, dict, PayloadErased]


async def test_a_refill_never_covers_a_tombstone(cached: StorageCase, redis: Redis) -> None:
    """A reader that had just loaded the payload when it was erased leaves nothing of it in the cache."""
    (reference,) = await cached.save(PAYLOAD)
    await redis.flushdb()
    storage = cached.storage
    assert isinstance(storage, CachedStorage)
    (loaded,) = await collect_references(cached.scope(), storage.origin, (reference,))
    await storage.erase(cached.scope(), (reference,))
    await storage.put_into_cache(cached.scope(), {reference: loaded})
    assert await redis.hgetall("{dev:shipments}:payload:" + reference.event_id) == {b"_erased": b"1"}
    assert isinstance(await cached.load_one((reference,)), PayloadErased)


async def test_erasing_reaches_the_cache(cached: StorageCase, redis: Redis) -> None:
    """Nothing of the payload is left in either."""
    (reference,) = await cached.save(PAYLOAD)
    await cached.storage.erase(cached.scope(), (reference,))
    assert await redis.hgetall("{dev:shipments}:payload:" + reference.event_id) == {b"_erased": b"1"}
    assert b"ann@example.org" not in (await cached.look(cached.locations((reference,))[0]) or b"")


async def test_a_dead_cache_fails_neither_save_nor_load(client: "S3Client") -> None:
    """Its address refuses connections."""
    case = s3_case(CachedStorage(S3Storage(), RedisHashStorage(redis="redis://127.0.0.1:1")), client)
    references = await case.save(PAYLOAD)
    assert await case.load_one(references) == PAYLOAD
    await case.storage.check(case.scope())
    await case.storage.close()


async def test_a_silent_cache_slows_one_call_and_not_all(client: "S3Client", silent_url: str) -> None:
    """After the first time-out it is left alone for a while."""
    storage = CachedStorage(
        MemoryStorage(),
        RedisHashStorage(redis=silent_url),
        cache_timeout=timedelta(seconds=0.3),
        retry_cache_after=HOUR,
    )
    case = StorageCase(storage)
    started = time.monotonic()
    references = [await case.save(PAYLOAD) for _ in range(50)]
    assert await case.load(*references) == [PAYLOAD] * 50
    assert 0.25 < time.monotonic() - started < 1.5
    await storage.close()


async def test_a_cache_that_comes_back_is_used_again(own_redis: RedisServer) -> None:
    """Without anybody restarting anything."""
    storage = CachedStorage(
        MemoryStorage(), RedisHashStorage(redis=own_redis.url), retry_cache_after=timedelta(milliseconds=50)
    )
    case = StorageCase(storage)
    own_redis.kill()
    references = await case.save(PAYLOAD)
    own_redis.start()
    async with Redis.from_url(own_redis.url) as redis:

        async def is_cached() -> bool:
            assert await case.load_one(references) == PAYLOAD
            return bool(await redis.exists("{dev:shipments}:payload:" + references[0].event_id))

        await eventually(is_cached)
    await storage.close()


async def test_lookups_are_counted(cached: StorageCase, redis: Redis) -> None:
    """As hit, as miss, and as down when the cache was not asked or did not answer."""
    references = [await cached.save(PAYLOAD) for _ in range(3)]
    metrics = CountedMetrics()
    await cached.load(*references)
    await redis.flushdb()
    await cached.load(*references[:2])
    dead = StorageCase(CachedStorage(MemoryStorage(), RedisHashStorage(redis="redis://127.0.0.1:1")))
    await dead.load(await dead.save(PAYLOAD))
    await dead.storage.close()
    lookups = {
        (storage, result): metrics.count("event_backbone.cache_lookups", storage=storage, result=result)
        for storage in ("s3", "memory")
        for result in ("hit", "miss", "down")
    }
    assert {pair: amount for pair, amount in lookups.items() if amount} == {
        ("s3", "hit"): 3,
        ("s3", "miss"): 2,
        ("memory", "down"): 1,
    }


async def test_erasing_reports_when_the_cache_was_not_reached() -> None:
    """Personal data may still be there, so erasing must be repeated; it is already gone from the origin."""
    storage = CachedStorage(MemoryStorage(), RedisHashStorage(redis="redis://127.0.0.1:1"))
    case = StorageCase(storage)
    references = await case.save(PAYLOAD)
    with pytest.raises(StorageUnavailable):
        await storage.erase(case.scope(), references)
    assert isinstance(await case.load_one(references), PayloadErased)
    await storage.close()


async def test_a_copy_of_another_payload_is_not_believed(client: "S3Client", redis: Redis, redis_url: str) -> None:
    """A first try may have left one under this event id, with arguments that were never appended."""
    case = s3_case(CachedStorage(S3Storage(), RedisHashStorage(redis=redis_url)), client)
    event_id = new_event_id()
    first = await case.save({"email": b'"first@example.org"'}, event_id=event_id)
    second = await case.save(PAYLOAD, event_id=event_id)
    assert await redis.dbsize() == 1
    assert await case.load(first, second) == [{"email": b'"first@example.org"'}, PAYLOAD]
    await case.storage.close()


async def test_what_neither_has_is_gone(cached: StorageCase, redis: Redis) -> None:
    """The origin has the last word."""
    references = await cached.save(PAYLOAD)
    await redis.flushdb()
    await cached.remove(cached.locations(references)[0])
    assert isinstance(await cached.load_one(references), PayloadGone)


def test_what_does_not_fit_together_is_refused() -> None:
    """A cache for the whole of a split, and two of one name."""
    split = SplitStorage(default=MemoryStorage(), by_argument={"email": MemoryStorage("personal")})
    pairs: list[tuple[Storage, Cache]] = [
        (split, RedisHashStorage()),
        (MemoryStorage(), MemoryStorage()),
    ]
    for origin, cache in pairs:
        with pytest.raises(ConfigurationError):
            CachedStorage(origin, cache)
