"""What is left of a migration that is killed."""

import asyncio
import os
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable

from event_backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.model import EventKey
from tests.support.parcels import GROUP, URI, Parcels, Remembering
from tests.support.worker_process import PATH

MIGRATE = """
import asyncio, sys
from event_backbone import Backbone, Consumer, Context, Reject
from event_backbone.storage import RedisHashStorage, S3Storage, StorageScope

async def main():
    old = RedisHashStorage()
    async with Backbone(sys.argv[1], storage=S3Storage(), also_read=[old], environment="test") as backbone:
        print("begins", flush=True)
        await backbone.migrate(sys.argv[2], away_from="redis-hash")

asyncio.run(main())
"""


async def _killed_migration(redis_url: str, after_seconds: float) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MIGRATE, redis_url, URI), stdout=PIPE, env={**os.environ, "PYTHONPATH": PATH}
    )
    assert process.stdout is not None
    assert await process.stdout.readline()
    await asyncio.sleep(after_seconds)  # at a random point, not for anything to happen
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_migration_may_be_killed_at_any_time(
    storing: Callable[..., Backbone], connection: RedisConnection, redis_url: str
) -> None:
    """Run again, it ends with each event once, in its order, in the new storage; a group has handled each once."""
    remembering, chance = Remembering(), random.Random(1)
    keys = dict[EventKey, object]()
    async with storing("redis-hash", "s3") as before:
        producer, stopping = before.producer(Parcels, uri=URI), asyncio.Event()

        async def produce() -> None:
            while not stopping.is_set():
                keys[await producer.packed(len(keys))] = len(keys)

        for number in range(1500):
            keys[await producer.packed(number)] = number
        async with before.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
            producing = asyncio.create_task(produce())
            for _ in range(5):
                await _killed_migration(redis_url, chance.uniform(0.0, 0.8))
                await connection.command("DEL", f"{{test:{URI}}}:restore")  # rather than wait for its lock to end
            stopping.set()
            await producing
            await subscription.until_idle()
    async with storing("s3", "redis-hash") as backbone:
        assert (await backbone.migrate(URI, away_from="redis-hash")).still.nothing
    async with storing("s3") as only_s3:
        found = [(each.key, each.arguments["number"]) async for each in only_s3.reader(URI).scan()]
    assert found == list(keys.items())
    assert sorted(remembering.numbers) == list(range(len(keys)))
    assert set(remembering.attempts) == {1}
