"""Payloads that people leave behind: whoever trims a stream by hand leaves its hashes."""

from datetime import timedelta
from uuid import UUID

import pytest
from redis.asyncio import Redis

from event_backbone import EventKey
from event_backbone.retention.sweep import Hashes, HashesBesideStream, HashesElsewhere, Sweep
from event_backbone.storage import (
    CachedStorage,
    MemoryStorage,
    Part,
    RedisHashStorage,
    SplitStorage,
    Storage,
    StorageScope,
)
from event_backbone.storage.by_name import storages_by_name
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.redis.restoring import RedisRestoring
from event_backbone.stream.redis.retaining import RedisRetaining
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.testing.servers import RedisServer
from event_backbone.wire.keys import RETENTION_KEY
from tests.support.metrics import CountedMetrics
from tests.support.parcels import URI, Parcels
from tests.support.restoring import KEEP
from tests.support.retention import MOMENT, Retained

HOURS_AGO = timedelta(hours=3)


class Swept:
    """A stream of which somebody removes entries with redis-cli."""

    def __init__(self, retained: Retained, elsewhere: RedisHashStorage | None = None) -> None:
        self.retained = retained
        self.lock = WorkLock(retained.connection, retained.name, RETENTION_KEY, "sweeper")
        self.retaining = RedisRetaining(retained.connection, retained.name, "sweeper", (), ())
        stream = RedisStreams(retained.connection).stream(retained.name)
        scope = StorageScope(retained.name, retained.connection)
        places: list[Hashes] = [HashesBesideStream(self.retaining)]
        if elsewhere is not None:
            places.append(HashesElsewhere(self.retaining, scope, elsewhere))
        self.sweep = Sweep(stream, places, timedelta(minutes=10), self._hold)

    async def _hold(self) -> None:
        await self.lock.hold(KEEP)

    async def old_event(self, age: timedelta, *, payload_id: bool = False) -> EventKey:
        """Append an event of that age with its payload hash; its payload may have another id than the event."""
        milliseconds = await self.retained.clock() - age // timedelta(milliseconds=1)
        event_id, other_id = (UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | n) for n in (1, 2))
        key, payload = self.retained.name, other_id if payload_id else event_id
        reference = f'["redis-hash","{payload}"]' if payload_id else '"redis-hash"'
        document = f'{{"id":"{event_id}","event":"packed","version":1,"at":1,"size":1,"payload":[{reference}]}}'
        await self.retained.connection.command("HSET", key.key_of(f"payload:{payload}"), "number", "1")
        await self.retained.connection.command("XADD", key.key, f"{milliseconds}-0", "wire", "1", "metadata", document)
        return EventKey(milliseconds)

    async def run(self) -> int:
        """Survey and sweep, as a round does."""
        await self._hold()
        return await self.sweep.run(await self.retaining.survey())


async def test_hashes_of_entries_that_a_person_has_trimmed_go(retained: Retained, counted: CountedMetrics) -> None:
    """Those of entries that are there stay, and what is too young to be sure."""
    swept = Swept(retained)
    ages = [9 * HOURS_AGO, 8 * HOURS_AGO, 7 * HOURS_AGO, HOURS_AGO, timedelta(minutes=1), timedelta(0)]
    keys = [await swept.old_event(age) for age in ages]
    assert await swept.run() == 0
    await retained.connection.command("XTRIM", retained.name.key, "MINID", keys[3].entry_id)
    assert await swept.run() == 3
    assert await retained.payloads() == 3
    assert counted.count("event_backbone.payloads_swept", uri=URI) == 3
    await retained.connection.command("XTRIM", retained.name.key, "MAXLEN", 0)
    assert await swept.run() == 1  # a producer may be appending the events of the others
    assert await swept.run() == 0


@pytest.mark.parametrize("payload_id", [False, True])
async def test_hashes_of_single_events_that_are_kept_stay(retained: Retained, *, payload_id: bool) -> None:
    """Of what is pending, or a dead letter, before the key from which the stream has no gaps."""
    swept = Swept(retained)
    keys = [await swept.old_event(n * HOURS_AGO, payload_id=payload_id) for n in (9, 8, 7, 6, 5)]
    await retained.set_group(*keys, pending=[keys[1]])
    await retained.connection.command("XDEL", retained.name.key, keys[2].entry_id)
    last = await swept.old_event(HOURS_AGO)
    await retained.carry_out()
    assert await retained.left() == [keys[1], last]
    assert await swept.run() == 1
    assert await retained.payloads() == 2


async def test_hashes_of_events_whose_keys_are_ahead_of_their_time_stay(retained: Retained) -> None:
    """As after a clock that was ahead: until it has caught up, all keys have that time, but event ids do not."""
    swept = Swept(retained)
    now = await retained.clock()
    ahead, orphan = now + HOURS_AGO // MOMENT, UUID(int=(now - HOURS_AGO // MOMENT) << 80 | 7 << 76 | 2 << 62)
    await retained.connection.command("XADD", retained.name.key, f"{ahead}-0", "any", "entry")
    producer = retained.backbone.producer(Parcels, uri=URI)
    await producer.packed(1)
    await retained.connection.command("HSET", retained.name.key_of(f"payload:{orphan}"), "number", "1")
    await retained.connection.command("XDEL", retained.name.key, f"{ahead}-0")
    assert await swept.run() == 1
    assert [event.has_arguments async for event in retained.backbone.reader(URI).scan()] == [True]


async def test_what_is_being_restored_is_not_swept(retained: Retained) -> None:
    """A restore writes payloads before their entries are in the stream."""
    swept = Swept(retained)
    keys = [await swept.old_event(n * HOURS_AGO) for n in (9, 1)]
    await retained.connection.command("XTRIM", retained.name.key, "MINID", keys[1].entry_id)
    restoring = RedisRestoring(retained.connection, retained.name)
    await restoring.begin("restore", KEEP)
    assert await swept.run() == 0
    await restoring.end()
    assert await swept.run() == 1


OTHER = RedisHashStorage(name="other", redis="redis://other")


@pytest.mark.parametrize(
    "storage",
    [
        OTHER,
        CachedStorage(MemoryStorage(), OTHER),
        SplitStorage(MemoryStorage(), {"email": Part(OTHER, optional=True)}),
    ],
    ids=["whole", "cache", "optional-part"],
)
def test_every_storage_on_another_redis_is_swept(retained: Retained, storage: Storage) -> None:
    """Whatever it is a part of."""
    stream = retained.stream._replace(storages=storages_by_name((storage,), beside_stream=True))
    retaining = RedisRetaining(retained.connection, retained.name, "sweeper", (), ())
    assert [type(each) for each in stream.hashes(retaining)] == [HashesBesideStream, HashesElsewhere]


async def test_hashes_on_another_redis_go_too(retained: Retained, own_redis: RedisServer) -> None:
    """As after a crash between an event and its payload there; not while a restore is under way."""
    storage = RedisHashStorage(name="other", redis=own_redis.url)
    swept = Swept(retained, storage)
    old, young = [await swept.old_event(n * HOURS_AGO) for n in (9, 1)]
    async with Redis.from_url(own_redis.url) as other:
        for key in (old, young):
            name = retained.name.key_of(f"payload:other:{UUID(int=key.milliseconds << 80 | 7 << 76 | 2 << 62 | 1)}")
            await other.hset(name, "number", "1")
        await retained.connection.command("XTRIM", retained.name.key, "MINID", young.entry_id)
        restoring = RedisRestoring(retained.connection, retained.name)
        await restoring.begin("restore", KEEP)
        assert await swept.run() == 0
        await restoring.end()
        assert await swept.run() == 2  # one beside the stream, and one there
        assert await other.dbsize() == 1
    await storage.close()
