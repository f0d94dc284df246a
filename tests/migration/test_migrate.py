"""Payloads move between storages while producers and consumers go on."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from event_backbone import Backbone, Consumer, Context, Reject, Retry
from event_backbone.connection import RedisConnection
from event_backbone.errors import ConfigurationError, PayloadGone
from event_backbone.model import StreamName
from event_backbone.storage import RedisHashStorage, S3Storage, StorageScope
from event_backbone.storage.loading import collect_references
from event_backbone.testing.servers import RedisServer
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels, Stuck

Storing = Callable[..., Backbone]

MOVES = [("redis-hash", "s3"), ("s3", "redis-hash"), ("s3", "s3-2"), ("redis-hash", "inline"), ("s3", "inline")]


async def _numbers(backbone: Backbone) -> list[object]:
    return [each.arguments["number"] async for each in backbone.reader(URI).scan()]


@pytest.mark.parametrize(("old", "new"), MOVES)
async def test_events_keep_keys_and_arguments_when_their_payloads_move(storing: Storing, old: str, new: str) -> None:
    """After a move nothing refers to the old storage, and a program that was not given it reads every event."""
    async with storing(old) as before:
        keys = [await before.producer(Parcels, uri=URI).packed(number) for number in range(600)]
    async with storing(new, old) as backbone:
        plan = await backbone.migrate(URI, away_from=old, dry_run=True)
        assert (plan.moved, plan.still.events) == (0, 600)
        report = await backbone.migrate(URI, away_from=old)
        assert (report.moved, report.still.nothing) == (600, True)
        assert (await backbone.migrate(URI, away_from=old)).moved == 0
    async with storing(new) as only_new:
        found = [(each.key, each.arguments["number"]) async for each in only_new.reader(URI).scan()]
        later = await only_new.producer(Parcels, uri=URI).packed(600)
    assert found == list(zip(keys, range(600), strict=True))
    assert later > keys[-1]


async def test_erased_and_gone_payloads_stay_so(storing: Storing, connection: RedisConnection) -> None:
    """What was erased or gone in the old storage reads the same in the new one."""
    async with storing("redis-hash") as before:
        erased, gone, _ = [await before.producer(Parcels, uri=URI).packed(number) for number in range(3)]
        await before.erase(URI, erased)
        await connection.command("DEL", before.location(await before.reader(URI).get(gone))[0])
    async with storing("s3", "redis-hash") as backbone:
        report = await backbone.migrate(URI, away_from="redis-hash")
        assert (report.moved, report.erased, report.gone) == (3, 1, 1)
    async with storing("s3") as only_s3:
        read = [each async for each in only_s3.reader(URI).scan()]
        assert [each.payload for each in read] == ["erased", "gone", "present"]


@pytest.mark.parametrize(("old", "new"), MOVES[:3])
async def test_a_consumer_group_notices_nothing(storing: Storing, old: str, new: str) -> None:
    """Running handlers keep their leases, parked events their attempts, and every event is handled in its order."""
    stuck, handled, dead = Stuck(), list[tuple[int, int]](), asyncio.Event()
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.sent)
    async def sent(ctx: Context, number: int, email: str) -> None:
        handled.append((number, ctx.attempt))
        if number == 1 and ctx.attempt == 1:
            raise Retry(after=timedelta(seconds=1))
        if number == 2:
            dead.set()
            raise Reject("wrong")

    consumer.on(Parcels.packed)(stuck.packed)
    async with storing(old, new) as before, before.subscribe(consumer, uri=URI, group=GROUP, concurrency=1) as running:
        producer = before.producer(Parcels, uri=URI)
        for number in (1, 2):
            await producer.sent(number, "a@b.c")
        await producer.packed(0)
        await asyncio.wait_for(asyncio.gather(stuck.running.wait(), dead.wait()), 10)
        for number in range(3, 30):
            await producer.sent(number, "a@b.c")
        pending = await before.pending(URI, GROUP)
        async with storing(new, old) as backbone:
            report = await backbone.migrate(URI, away_from=old)
            assert (report.moved, report.dead_letters, report.still.nothing) == (30, 1, True)
            after = await backbone.pending(URI, GROUP)
            of_group = {each.name: each for each in await backbone.groups(URI)}[GROUP]
            assert [(each.key, each.attempt) for each in after] == [(each.key, each.attempt) for each in pending]
            assert of_group.dead_letters == 1
            await backbone.producer(Parcels, uri=URI).sent(30, "a@b.c")
            stuck.release.set()
            await eventually(lambda: len(handled) == 31, 20)
            assert [letter.id async for letter in backbone.dead_letters(URI, GROUP).list()]
            assert running.alive
    assert stuck.attempts == [1]
    assert sorted(handled) == sorted([(1, 1), (1, 2), *((number, 1) for number in range(2, 31))])


async def test_what_cannot_move_is_refused(storing: Storing) -> None:
    """A wrong name is answered with the right ones."""
    async with storing("s3", "s3-2") as backbone:
        with pytest.raises(ConfigurationError, match=r"no storage 's4'; .* name 'redis-hash', 's3-2'"):
            await backbone.migrate(URI, away_from="s4")
        with pytest.raises(ConfigurationError, match="new payloads go to"):
            await backbone.migrate(URI, away_from="s3")
        with pytest.raises(ConfigurationError, match="lifecycle rule"):
            await backbone.migrate(URI, away_from="s3-2", remove=True)


async def test_a_hash_that_the_event_id_does_not_name_is_deleted(
    redis_url: str, own_redis: RedisServer, s3_environment: object
) -> None:
    """As of an event produced once to several streams, on another Redis: no later run, or erasing, would find it."""
    del s3_environment
    consumer, elsewhere = Consumer(Parcels), RedisHashStorage(name="elsewhere", redis=own_redis.url)
    async with (
        Backbone(redis_url, storage=elsewhere, environment="test") as before,
        Backbone(redis_url, storage=S3Storage(), also_read=[elsewhere], environment="test") as backbone,
    ):
        follow_ups = before.producer(Parcels, uri=["first", "second"])

        @consumer.on(Parcels.packed)
        async def packed(ctx: Context, number: int) -> None:
            del ctx
            await follow_ups.sent.using(once="sent")(number, "a@b.c")

        await before.producer(Parcels, uri=URI).packed(1)
        async with before.subscribe(consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
        (event,) = [each async for each in before.reader("second").scan()]
        assert str(event.metadata.event_id) not in before.location(event)[0]
        await backbone.migrate("second", away_from="elsewhere")
        (moved,) = [each async for each in backbone.reader("second").scan()]
        assert moved.arguments == {"number": 1, "email": "a@b.c"}
        scope = StorageScope(StreamName.of("second", "test"), backbone.redis)
        (found,) = await collect_references(scope, elsewhere, event.references)
        assert isinstance(found, PayloadGone)


async def test_old_hashes_are_removed_when_asked(storing: Storing, connection: RedisConnection) -> None:
    """With ``remove`` only the new copies are left, and they are readable."""
    async with storing("redis-hash") as before:
        for number in range(10):
            await before.producer(Parcels, uri=URI).packed(number)
    async with storing("s3", "redis-hash") as backbone:
        assert (await backbone.migrate(URI, away_from="redis-hash", remove=True)).removed == 10
        assert await connection.command("KEYS", "*payload*") == []
        assert await _numbers(backbone) == list(range(10))
