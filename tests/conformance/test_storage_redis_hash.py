"""Payloads in Redis hashes, on the stream's own server and on another one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError, PayloadErased, PayloadGone
from event_backbone.model import Payload, PayloadReference, SavedPayload, new_event_id
from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, SplitStorage, StorageScope
from tests.conformance.storage_cases import redis_case
from tests.conformance.storage_suite import PAYLOAD, ByIdSuite, StorageCase, StorageSuite, VisibleSuite
from tests.support.records import record_of

INLINE = RedisHashStorage(name="inline", inline_up_to_bytes=1)


@pytest.mark.topologies(always=True)
class TestOnTheStreamsOwnServer(StorageSuite, VisibleSuite):
    """The suite on hashes that are written with the stream entry."""

    @pytest.fixture
    async def case(self, redis: Redis, connection: RedisConnection) -> StorageCase:
        """A storage on an empty server."""
        return redis_case(RedisHashStorage(), redis, connection)


@pytest.mark.topologies(always=True)
class TestOnAnotherServer(StorageSuite, ByIdSuite, VisibleSuite):
    """The suite on hashes that are written before the entry."""

    @pytest.fixture
    async def case(self, redis: Redis, redis_url: str) -> AsyncIterator[StorageCase]:
        """A storage with its own connection to an empty server."""
        storage = RedisHashStorage(redis=redis_url)
        yield redis_case(storage, redis, None)
        await storage.close()


@pytest.fixture
def own(redis: Redis, connection: RedisConnection) -> StorageCase:
    """Payloads of one hour, on the stream's own server."""
    return redis_case(RedisHashStorage(timedelta(hours=1)), redis, connection)


async def test_the_write_plan_is_what_save_asks_for(own: StorageCase, redis_url: str) -> None:
    """On the stream's own server only: the same hash, and a reference by the event id."""
    scope, event_id = own.scope(), new_event_id()
    plan = own.storage.write_plan(scope)
    assert plan is not None
    reference, write = PayloadReference(own.storage.name, str(event_id), str(event_id)), plan(str(event_id), PAYLOAD)
    assert write is not None
    assert await own.storage.save(scope, record_of(PAYLOAD, event_id)) == SavedPayload((reference,), (write,))
    assert RedisHashStorage(redis=redis_url).write_plan(scope) is None
    assert own.storage.write_plan(StorageScope(scope.stream)) is None


async def test_small_payloads_are_left_to_the_entry(redis: Redis, connection: RedisConnection) -> None:
    """Up to the bound, also those without arguments; what is saved without a plan is a hash that can be read."""
    case = redis_case(RedisHashStorage(inline_up_to_bytes=4), redis, connection)
    plan, event_id = case.storage.write_plan(case.scope()), str(new_event_id())
    assert plan is not None
    assert [plan(event_id, payload) for payload in ({}, {"a": b"12"}, {"a": b"12", "b": b"34"})] == [None] * 3
    write = plan(event_id, {"a": b"12", "b": b"345"})
    assert write is not None
    assert write.purpose == f"payload:{event_id}"
    assert await case.load_one(await case.save({"a": b"1"})) == {"a": b"1"}
    ordinary = RedisHashStorage().write_plan(case.scope())
    assert ordinary is not None
    assert ordinary(event_id, {}) is not None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RedisHashStorage(inline_up_to_bytes=-1), "must be from 0 to 65536, not -1"),
        (lambda: RedisHashStorage(inline_up_to_bytes=65537), "must be from 0 to 65536, not 65537"),
        (lambda: RedisHashStorage(timedelta(hours=1), inline_up_to_bytes=1), "a stream entry does not expire"),
        (
            lambda: RedisHashStorage(redis="localhost:1", inline_up_to_bytes=1),
            "a stream entry is on the stream's own server",
        ),
        (lambda: CachedStorage(MemoryStorage(), INLINE), "must be 0 here: .* no cache can be in one"),
        (
            lambda: CachedStorage(INLINE, MemoryStorage()),
            "must be 0 here: a payload in a stream entry cannot be cached",
        ),
        (lambda: SplitStorage(INLINE, {}), "must be 0 here: the parts of a split"),
        (lambda: SplitStorage(MemoryStorage(), {"email": INLINE}), "must be 0 here: the parts of a split"),
    ],
)
def test_inline_payloads_are_refused_where_they_cannot_work(make: Callable[[], object], sentence: str) -> None:
    """When the storage is made, in one sentence."""
    with pytest.raises(ConfigurationError, match=sentence):
        make()


async def test_the_key_says_stream_and_event(own: StorageCase, redis: Redis) -> None:
    """`{<stream key>}:payload:<event id>`, a hash with a field for each argument, in the stream's cluster slot."""
    (reference,) = await own.save(PAYLOAD)
    assert own.locations((reference,)) == ["{dev:shipments}:payload:" + reference.key]
    assert await redis.hgetall(own.locations((reference,))[0]) == {
        name.encode(): value for name, value in PAYLOAD.items()
    }


async def test_payloads_expire_when_asked_to(own: StorageCase, redis: Redis) -> None:
    """And a tombstone no later than its payload would have."""
    references = await own.save(PAYLOAD)
    (location,) = own.locations(references)
    await redis.pexpire(location, 60_000)
    await own.storage.erase(own.scope(), references)
    assert 0 < await redis.pttl(location) <= 60_000
    await redis.pexpire(location, 0)
    assert isinstance(await own.load_one(references), PayloadGone)


async def test_a_tombstone_of_nothing_expires_too(own: StorageCase, redis: Redis) -> None:
    """Erasing what is gone leaves no key forever."""
    references = await own.save(PAYLOAD)
    (location,) = own.locations(references)
    await redis.delete(location)
    await own.storage.erase(own.scope(), references)
    assert isinstance(await own.load_one(references), PayloadErased)
    assert 0 < await redis.pttl(location) <= 3_600_000


async def test_another_server_lets_payloads_expire_too(redis: Redis, redis_url: str) -> None:
    """The time-out is set with the hash."""
    storage = RedisHashStorage(timedelta(hours=1), redis=redis_url)
    case = redis_case(storage, redis, None)
    (location,) = case.locations(await case.save(PAYLOAD))
    assert 0 < await redis.pttl(location) <= 3_600_000
    await storage.close()


async def test_storages_with_different_names_share_a_server(redis: Redis, connection: RedisConnection) -> None:
    """The name is part of the key."""
    storage = RedisHashStorage(name="personal")
    case = redis_case(storage, redis, connection)
    (reference,) = await case.save(PAYLOAD)
    assert reference.storage == "personal"
    assert case.locations((reference,)) == ["{dev:shipments}:payload:personal:" + reference.key]
    assert await case.load_one((reference,)) == PAYLOAD


async def test_a_key_of_another_kind_is_gone_and_spoils_nothing(own: StorageCase, redis: Redis) -> None:
    """Somebody else's key of the same name must not stop the other events."""
    first, second = await own.save(PAYLOAD), await own.save(PAYLOAD)
    (location,) = own.locations(first)
    await redis.delete(location)
    await redis.set(location, "not ours")
    answers = await own.load(first, second)
    assert isinstance(answers[0], PayloadGone)
    assert answers[1] == PAYLOAD


async def test_a_batch_larger_than_one_call_is_loaded_whole(own: StorageCase, redis: Redis) -> None:
    """Nine mebibytes and three hundred events take several scripts, so the server answers others in between."""
    payloads: list[Payload] = [{"blob": b'"' + str(number).encode() * (1 << 20) + b'"'} for number in range(9)]
    payloads += [{"n": str(number).encode()} for number in range(300)]
    references = [await own.save(payload) for payload in payloads]
    await own.load(references[0])
    await redis.config_resetstat()
    assert await own.load(*references) == payloads
    statistics = cast("dict[str, dict[str, int]]", await redis.info("commandstats"))
    assert "cmdstat_evalsha" not in statistics
    assert statistics["cmdstat_hgetall"]["calls"] == len(payloads)


async def test_one_storage_serves_several_event_loops(redis_url: str) -> None:
    """Each loop has its own connections."""
    storage = RedisHashStorage(redis=redis_url)
    case = StorageCase(storage)
    references = await case.save(PAYLOAD)

    async def elsewhere() -> object:
        try:
            return await case.load_one(references)
        finally:
            await storage.close()

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == PAYLOAD
    assert await case.load_one(references) == PAYLOAD
    await storage.close()


@pytest.mark.parametrize("name", ["", "Has Capitals", "a" * 33, "-x", "a:b"])
def test_a_name_that_a_reference_cannot_have_is_refused(name: str) -> None:
    """When the storage is made."""
    with pytest.raises(ConfigurationError, match="storage's name"):
        RedisHashStorage(name=name)


async def test_without_redis_it_says_so() -> None:
    """A stream in memory has no Redis."""
    with pytest.raises(ConfigurationError, match="MemoryStorage"):
        await StorageCase(RedisHashStorage()).save(PAYLOAD)
