"""A restore that is interrupted anywhere, and run again, ends as if it had not been."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from time import time
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone import Consumer, Context, Reject, Retry
from event_backbone.archive import restore_lock
from event_backbone.archive.appending import Appending
from event_backbone.archive.restore_lock import locked
from event_backbone.connection import RedisConnection
from event_backbone.errors import BackboneError, StorageUnavailable, StreamError, StreamUnavailable
from event_backbone.model import EventKey
from event_backbone.storage.s3.objects import S3Objects
from event_backbone.stream.redis.restoring import RedisRestoring
from event_backbone.stream.values import GroupState
from event_backbone.testing.servers import S3Server
from tests.support.archives import STREAM, ArchivedStream
from tests.support.eventually import eventually
from tests.support.failovers import Replica
from tests.support.parcels import GROUP, URI, Parcels
from tests.support.s3 import objects_of, put_back

_ARCHIVED = 6

_CALLS = [
    *((RedisConnection, name, StreamUnavailable) for name in ("run", "run_pipelined", "command")),
    *((S3Objects, name, StorageUnavailable) for name in ("create", "replace", "read", "read_version", "read_range")),
]


class Interrupting:
    """Counts calls to Redis and S3, and lets one of them fail, before or after it did what it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.failing = -1
        self.after = False
        for owner, name, error in _CALLS:
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name), error))

    def _counted(
        self, call: Callable[..., Awaitable[object]], error: type[BackboneError]
    ) -> Callable[..., Awaitable[object]]:
        async def counted(*arguments: object, **options: object) -> object:
            self.calls += 1
            fails = self.calls == self.failing
            if fails and not self.after:
                raise error("It does not answer.")
            result = await call(*arguments, **options)
            if fails:
                raise error("Its answer is lost.")
            return result

        return counted


@dataclass(frozen=True)
class State:
    """What a restore is about. Events that only packs had get other keys each time."""

    numbers: list[object]
    archived_keys: list[EventKey]
    group: GroupState
    pending: list[EventKey]
    follow_ups: dict[bytes, bytes]
    notes: dict[bytes, bytes]
    left_behind: list[bytes]


async def _state(redis: Redis, archived: ArchivedStream) -> State:
    events = await archived.in_redis()
    (group,) = await archived.backbone.groups(URI)
    return State(
        [number for _, number in events],
        [key for key, _ in events[:_ARCHIVED]],
        replace(group, unread=0),
        [each.key for each in await archived.backbone.pending(URI, GROUP)],
        await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(STREAM.key_of(f"once:{GROUP}"))),
        await cast("Awaitable[dict[bytes, bytes]]", redis.hgetall(STREAM.key_of("archive"))),
        sorted(key for key in cast("list[bytes]", await redis.keys()) if b":restor" in key),
    )


async def _lose(archived: ArchivedStream, redis: Redis) -> None:
    """Archive events in two segments, with a group that has a dead letter and a pending event; then lose all but one.

    Both have produced an event once.

    One event that is lost is in no segment, one that is archived is left, and one is new.
    """
    await archived.produce(1)
    replica = await Replica.of(redis)
    await archived.produce(2, 3)
    await archived.archive_all()
    await archived.produce(4)
    consumer, producer = Consumer(Parcels), archived.backbone.producer(Parcels, uri=URI)

    @consumer.on(Parcels.packed)
    async def reject_or_fail(ctx: Context, number: int) -> None:  # pyright: ignore[reportUnusedFunction]
        del ctx
        if number in {1, 2}:
            await producer.sent.using(once="parcel")(number, "ada@example.com")
            raise Reject("It is damaged.") if number == 1 else Retry(timedelta(hours=1))

    async with archived.backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1):

        async def handled() -> bool:
            (state,) = await archived.backbone.groups(URI)
            return (state.unread, state.pending) == (0, 1)

        await eventually(handled)
    await archived.archive_all()
    await archived.save_groups()
    await archived.produce(5)
    await replica.take_over(redis)
    await archived.produce(6)


@pytest.mark.parametrize("every", [61, pytest.param(9, marks=pytest.mark.long)])
async def test_a_restore_whose_calls_fail_is_run_again(
    archived: ArchivedStream, redis: Redis, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, *, every: int
) -> None:
    """Whichever call to Redis or S3 it is, and whether or not it did what it does, the next run does what is left."""
    await _lose(archived, redis)
    lost, bucket = await Replica.of(redis), objects_of(s3_server)
    interrupting = Interrupting(monkeypatch)
    await archived.backbone.restore(URI)
    calls, expected = interrupting.calls, await _state(redis, archived)
    assert expected.numbers == [1, 2, 3, 4, 1, 2, 6, 5]
    assert len(expected.follow_ups) == 2
    assert (expected.group.dead_letters, expected.group.parked, expected.left_behind) == (1, 1, [])
    for number in range(2 * calls)[every // 2 :: every]:
        interrupting.calls, interrupting.failing = 0, -1
        await lost.take_over(redis)
        put_back(s3_server, bucket)
        interrupting.failing, interrupting.after = number // 2 + 1, number % 2 == 1
        with suppress(BackboneError):
            await archived.backbone.restore(URI)
        interrupting.failing = -1
        await redis.delete(STREAM.key_of("restore"))  # it ends by itself
        await archived.backbone.restore(URI)
        assert await _state(redis, archived) == expected, f"call {number // 2 + 1} of {calls}"


async def test_what_an_interrupted_restore_has_left_is_found_whenever_it_is_run_again(
    archived: ArchivedStream, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although archivers have gone on for an hour, and the end of the archive says nothing of it any more."""
    await archived.produce(1)
    await archived.archive_all()
    replica = await Replica.of(redis)
    await archived.produce(2)
    await replica.take_over(redis)

    async def refused(*_: object) -> None:
        raise StreamUnavailable("Redis is full.")

    with monkeypatch.context() as patched:
        patched.setattr(Appending, "append", refused)
        with pytest.raises(StreamUnavailable):
            await archived.backbone.restore(URI)
    await archived.connection.command("XSETID", STREAM.key, f"{int(time() * 1000) + 3_600_000}-0")
    await archived.produce(3)
    await archived.archive_all()
    assert (await archived.backbone.restore(URI)).appended == 1
    assert [number for _, number in await archived.in_redis()] == [1, 3, 2]
    assert (await archived.backbone.plan_restore(URI)).nothing_to_do


async def test_a_restore_keeps_its_lock_however_long_a_step_takes(
    redis: Redis, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is refused all the time; when it has ended, another may begin."""
    monkeypatch.setattr(restore_lock, "LOCKED_FOR", timedelta(milliseconds=400))
    key = STREAM.key_of("restore")
    async with locked(RedisRestoring(connection, STREAM), STREAM):
        holder, before, renewals = await redis.get(key), 400, 0
        while renewals < 4:
            left = await redis.pttl(key)
            renewals += left > before
            before = left
            assert await redis.get(key) == holder
            await asyncio.sleep(0.005)
        with pytest.raises(StreamError, match="Another restore"):
            async with locked(RedisRestoring(connection, STREAM), STREAM):
                pass
    async with locked(RedisRestoring(connection, STREAM), STREAM):
        pass
