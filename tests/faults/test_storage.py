"""Redis Hash storage whose server fails or forgets."""

import pytest

from event_backbone.errors import StorageUnavailable
from event_backbone.storage import (
    RedisHashStorage,
)
from event_backbone.testing.servers import RedisServer
from tests.conformance.storage_suite import PAYLOAD, StorageCase


async def test_redis_that_is_down_is_an_outage_for_all_that_were_asked_for(own_redis: RedisServer) -> None:
    """Neither an empty payload nor a missing one; when it is back they are read."""
    storage = RedisHashStorage(redis=own_redis.url)
    case = StorageCase(storage)
    references = [await case.save(PAYLOAD) for _ in range(3)]
    own_redis.kill()
    answers = await case.load(*references)
    assert all(isinstance(answer, StorageUnavailable) for answer in answers)
    with pytest.raises(StorageUnavailable):
        await case.save(PAYLOAD)
    with pytest.raises(StorageUnavailable):
        await storage.check(case.scope())
    own_redis.start()
    assert await case.load(*references) == [PAYLOAD] * 3
    await storage.close()


async def test_a_server_that_forgot_its_scripts_is_sent_them_again(own_redis: RedisServer) -> None:
    """As after a restart or a failover."""
    storage = RedisHashStorage(redis=own_redis.url)
    case = StorageCase(storage)
    references = await case.save(PAYLOAD)
    own_redis.restart()
    assert await case.load_one(references) == PAYLOAD
    await storage.erase(case.scope(), references)
    await storage.close()
