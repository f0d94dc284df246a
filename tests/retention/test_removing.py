"""What retention removes, and what it never removes."""

from datetime import datetime, timedelta, tzinfo
from typing import Self

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, Consumer, Context, EventKey, Reject, Retention
from event_backbone.connection import RedisConnection
from event_backbone.retention.by_hand import read_state
from event_backbone.storage import CachedStorage, MemoryStorage, RedisHashStorage, SplitStorage, Storage
from event_backbone.stream.redis.archive_notes import ArchiveNotes
from event_backbone.stream.redis.retention_values import Interrupted
from event_backbone.stream.redis.work_lock import WorkLock
from event_backbone.testing.servers import RedisServer
from event_backbone.wire.keys import RETENTION_KEY
from tests.support.eventually import eventually
from tests.support.letters import send
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering
from tests.support.restoring import KEEP, archived_entry, restore_all, restoring
from tests.support.retention import AT_ONCE, MOMENT, Retained

FIRST_SLICE = 100


async def test_what_nobody_needs_goes_with_its_payload(retained: Retained, counted: CountedMetrics) -> None:
    """Slice by slice, once it is old enough; a second round finds nothing."""
    keys = await retained.produce(*range(3 * FIRST_SLICE + 1))
    assert (await retained.carry_out(Retention(max_age=timedelta(days=1)))).events == 0
    assert (await retained.carry_out()).events == len(keys)
    assert await retained.left() == []
    assert await retained.payloads() == 0
    assert (await retained.carry_out()).events == 0
    assert counted.count("event_backbone.removed", uri=URI) == len(keys)


async def test_a_living_group_keeps_what_it_has_unread_and_pending(retained: Retained) -> None:
    """The others go around it, and once it has finished, the rest goes too."""
    keys = await retained.produce(*range(8))
    await retained.set_group(*keys[:5], pending=[keys[1], keys[3]])
    await retained.set_group(*keys[:6], group="faster")
    removed = await retained.carry_out()
    assert await retained.left() == [keys[1], keys[3], *keys[5:]]
    assert await retained.payloads() == 5
    assert [(hold.reason, hold.group, hold.events) for hold in removed.holds.values()] == [("pending", GROUP, 2)]

    remembering = Remembering()
    async with retained.backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
        await subscription.until_idle()
    await retained.carry_out()
    assert await retained.left() == keys[6:]  # the faster group has not read them


async def test_pending_entries_that_were_deleted_hide_no_others(retained: Retained) -> None:
    """They stay pending until somebody takes them over, and may be as many as a step looks at."""
    keys = await retained.produce(*range(FIRST_SLICE + 20))
    await retained.set_group(*keys, pending=keys[:-1])
    deleted = [key.entry_id for key in keys[1:-20]]
    await retained.connection.command("XDEL", retained.name.key, *deleted)
    await retained.carry_out()
    assert await retained.left() == [keys[0], *keys[-20:-1]]


async def test_a_dead_letter_keeps_its_event_for_its_time(retained: Retained, counted: CountedMetrics) -> None:
    """Also one that came after the dead letters were read; discarded, or too old, it keeps nothing."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def reject_odd_numbers(_: Context, number: int) -> None:
        if number % 2:
            raise Reject("odd")

    keys = await retained.produce(*range(6))
    loop = retained.loop()
    async with retained.backbone.subscribe(consumer, uri=URI, group=GROUP) as subscription:
        await subscription.until_idle()
        await loop.round()
        assert await retained.left() == keys[1::2]
        more = await retained.produce(7, 8)
        await subscription.until_idle()
        await loop.round()
        assert await retained.left() == [*keys[1::2], more[0]]

    letters = retained.backbone.dead_letters(URI, GROUP)
    assert await letters.discard_all(keys=[keys[1]]) == 1
    await loop.round()
    assert await retained.left() == [*keys[3::2], more[0]]
    await loop.round()
    await retained.carry_out(Retention(max_age=AT_ONCE.max_age, dead_letters_for=AT_ONCE.max_age))
    assert await retained.left() == []
    assert [each async for each in letters.list()] == []
    assert counted.count("event_backbone.dead_letters_expired", uri=URI, group=GROUP) == 3


def _letter(source: EventKey) -> list[str]:
    """Return the fields of a dead letter without its entry."""
    about = {"source": source.entry_id, "attempts": "1", "reason": "rejected", "detail": "", "error": "", "place": ""}
    return [part for name, value in about.items() for part in (f"dead:{name}", value)]


async def test_one_clock_that_is_ahead_removes_nothing(retained: Retained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither events nor dead letters: what the server takes for old must be so by this machine's clock, too."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) - timedelta(days=60)

    (dead, handled) = await retained.produce(1, 2)
    await retained.set_group(handled)
    letter = f"{await retained.clock() - timedelta(days=31) // MOMENT}-0"
    await retained.connection.command("XADD", retained.name.key_of(f"dead:{GROUP}"), letter, *_letter(dead))
    with monkeypatch.context() as patched:
        patched.setattr("event_backbone.retention.due.datetime", Behind)
        await retained.carry_out()
        assert await retained.left() == [dead, handled]
    forever = Retention(max_age=timedelta.max, dead_letters_for=timedelta.max)
    await retained.carry_out(forever)
    assert await retained.left() == [dead, handled]
    assert (await read_state(retained.stream, forever)).overdue == timedelta(0)
    await retained.carry_out(Retention(max_age=MOMENT, dead_letters_for=timedelta.max))
    assert await retained.left() == [dead]
    await retained.carry_out()
    assert await retained.left() == []


@pytest.mark.parametrize("most", [1, 2])
async def test_dead_letters_that_are_not_known_are_read_again(
    retained: Retained, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """As after a restore, which brings back older ones; and when more are known than one call takes."""
    monkeypatch.setattr("event_backbone.retention.trimming._MOST_SOURCES", most)
    keys = await retained.produce(*range(6))
    await retained.set_group(*keys)
    loop = retained.loop(Retention(max_age=MOMENT, dead_letters_for=None))
    dead = retained.name.key_of(f"dead:{GROUP}")
    for letter_id, source in (("5-0", keys[0]), ("6-0", keys[2]), ("7-0", keys[5])):
        await retained.connection.command("XADD", dead, letter_id, "dead:source", source.entry_id)
    await loop.round()
    assert await retained.left() == [keys[0], keys[2], keys[5]]
    await retained.connection.command("DEL", dead)
    for letter_id, source in (("3-0", keys[5]), ("4-0", keys[2]), ("9-0", keys[2])):
        await retained.connection.command("XADD", dead, letter_id, "dead:source", source.entry_id)
    await loop.round()
    assert await retained.left() == [keys[2], keys[5]]


async def test_after_a_restore_dead_letters_are_read_again(retained: Retained) -> None:
    """A live entry may have another key then, while its dead letter has the same id as before."""
    (dead, last) = await retained.produce(1, 2)
    await retained.set_group(last)
    await retained.connection.command("XADD", retained.name.key_of(f"dead:{GROUP}"), "*", *_letter(dead))
    loop, carrier = retained.loop(), WorkLock(retained.connection, retained.name, RETENTION_KEY, "a process")
    await loop.round()
    assert await retained.left() == [dead]
    async with restoring(retained.connection, retained.name) as restore:
        with pytest.raises(Interrupted):
            await loop.round()
        await carrier.hold(KEEP)
        archived = archived_entry(last.milliseconds + 1)
        await restore_all(restore, [archived])
        assert await retained.connection.command("EXISTS", retained.name.key_of(RETENTION_KEY)) == 0
    moved = (await retained.left())[1]
    assert moved > archived.key > dead
    await retained.connection.command("XGROUP SETID", retained.name.key, GROUP, moved.entry_id)
    await retained.connection.command("HSET", retained.name.key_of("archive"), "committed", moved.entry_id)
    await eventually(retained.all_is_old)
    await loop.round()
    assert await retained.left() == [moved]


async def test_what_retention_notes_is_not_taken_for_an_archive(retained: Retained) -> None:
    """Nobody would ever take back what is noted for archivers of events that are erased."""
    keys = await retained.produce(1, 2)
    await retained.set_group(keys[0])
    await retained.carry_out()
    await retained.backbone.erase(URI, keys[1])
    assert await retained.connection.command("EXISTS", retained.name.key_of("erased")) == 0
    assert not (await ArchiveNotes(retained.connection, retained.name).read()).exists


STORAGES: dict[str, Storage] = {
    "inline": RedisHashStorage(inline_up_to_bytes=1000),
    "named": RedisHashStorage(name="others"),
    "copies": CachedStorage(MemoryStorage(), RedisHashStorage(name="cache")),
    "split": SplitStorage(RedisHashStorage(name="rest"), {"email": RedisHashStorage(name="personal")}),
}


@pytest.mark.parametrize("name", STORAGES)
async def test_payloads_go_wherever_they_are_in_redis(name: str, redis_url: str, connection: RedisConnection) -> None:
    """Hashes of any name, copies in a cache, and all parts of a split; and all is gone but small keys."""
    async with Backbone(redis_url, storage=STORAGES[name], environment="test") as backbone:
        retained = Retained(backbone, connection)
        await send(backbone, 1, uri=URI)
        await eventually(retained.all_is_old)
        await retained.carry_out()
        assert await retained.left() == []
        assert await retained.payloads() == 0


async def test_payloads_on_another_redis_go_after_their_entries(
    redis_url: str, connection: RedisConnection, own_redis: RedisServer
) -> None:
    """So a crash in between leaves a payload that nobody can reach, never an event without its payload."""
    storage = RedisHashStorage(name="other", redis=own_redis.url)
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        retained = Retained(backbone, connection)
        keys = await retained.produce(1, 2, 3)
        await retained.set_group(keys[1])
        await retained.carry_out()
        assert [event.key async for event in backbone.reader(URI).scan() if event.has_arguments] == keys[2:]
        async with Redis.from_url(own_redis.url) as other:
            assert await other.dbsize() == 1


async def test_what_is_removed_behind_a_group_hides_no_lag(retained: Retained) -> None:
    """The server still knows how much it has not read."""
    await retained.produce(*range(4))
    remembering = Remembering()
    async with retained.backbone.subscribe(remembering.consumer, uri=URI, group=GROUP) as subscription:
        await subscription.until_idle()
    await retained.carry_out()
    await retained.produce(5, 6)
    (state,) = await retained.backbone.groups(URI)
    assert state.unread == 2


async def test_dead_letters_that_have_outlived_their_group_go_too(
    retained: Retained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once they are too old; nobody else would ever remove them."""
    monkeypatch.setattr("event_backbone.retention.round._SWEEP_FIRST_SECONDS", -1.0)
    (key,) = await retained.produce(1)
    for letter_id in ("5-0", "*"):
        await retained.connection.command("XADD", retained.name.key_of("dead:gone"), letter_id, *_letter(key))
    await retained.carry_out()
    assert len([each async for each in retained.backbone.dead_letters(URI, "gone").list()]) == 1
