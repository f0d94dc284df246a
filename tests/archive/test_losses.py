"""When Redis or S3 have lost what they had, or do not let an archiver work, nothing is overwritten and nothing lost."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.errors import EventsLost
from tests.archive.conftest import Make
from tests.archive.segments import archived_keys, below
from tests.support.archives import archive_all
from tests.support.eventually import eventually
from tests.support.failovers import Replica
from tests.support.faulty_s3 import Choice, FaultyS3, Refusal, no_fault
from tests.support.letters import GROUP, URI, consumer_of, send
from tests.support.metrics import CountedMetrics

SOON = timedelta(milliseconds=40)


async def handle(backbone: Backbone, count: int) -> None:
    """Let the group handle this many events."""
    numbers: list[int] = []
    async with backbone.subscribe(consumer_of(numbers), uri=URI, group=GROUP):
        await eventually(lambda: len(numbers) == count)


@pytest.mark.parametrize("runs", [True, False], ids=["running", "started"])
@pytest.mark.parametrize("lost", ["all", "last part"])
async def test_nothing_is_archived_or_overwritten_when_redis_has_lost_events(
    archiving: Make, redis: Redis, s3: FaultyS3, counted: CountedMetrics, lost: str, runs: bool
) -> None:
    """An archiver that runs notices it as one that is started does, also if there are newer events already."""
    async with archiving(close_after=SOON) as backbone:
        await send(backbone, 1, 2)
        async with backbone.archiver(URI) as archiver:
            await archiver.commit()
            replica = await Replica.of(redis) if lost == "last part" else Replica({})
            await send(backbone, 3, 4)
            await handle(backbone, 4)
            await archiver.commit()
            if not runs:
                archiver.stop()
                await archiver.wait()
            await replica.take_over(redis)
            saved = dict(s3.objects)
            if runs:
                await send(backbone, 5)
                await eventually(lambda: not archiver.ready)
                with pytest.raises(EventsLost, match="restore them"):
                    await archiver.commit()
                await send(backbone, 6)
                with pytest.raises(EventsLost):
                    await archiver.commit()
                assert (archiver.alive, archiver.ready) == (True, False)
        async with backbone.archiver(URI) as next_one:
            await send(backbone, 7)
            with pytest.raises(EventsLost, match="of stream test:letters"):
                await next_one.commit()
            assert not next_one.ready
            assert counted.latest("event_backbone.events_lost", uri=URI) == 1
            assert counted.count("event_backbone.outages", uri=URI, side="archive") > 0
        assert s3.objects == saved


@pytest.mark.parametrize("asked", [True, False])
async def test_a_loss_is_noticed_without_new_events(
    archiving: Make, redis: Redis, s3: FaultyS3, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    """By whoever waits for a commit, and before the states of groups are saved, which Redis has lost too."""
    monkeypatch.setattr(
        "event_backbone.archive.archive_loop._GROUPS_EVERY", timedelta(hours=1) if asked else timedelta(0)
    )
    async with archiving(close_after=SOON) as backbone, backbone.archiver(URI) as archiver:
        await send(backbone, 1)
        await handle(backbone, 1)
        await archiver.commit()
        replica = await Replica.of(redis)
        (key,) = await send(backbone, 2)
        await handle(backbone, 1)
        await archiver.commit()
        if not asked:
            await eventually(lambda: key.entry_id.encode() in below(s3.objects, "groups/")[f"{GROUP}.json"])
        saved = dict(s3.objects)
        await replica.take_over(redis)
        if asked:
            with pytest.raises(EventsLost):
                await archiver.commit()
        await eventually(lambda: not archiver.ready)
        assert s3.objects == saved


async def test_what_redis_loses_before_it_was_archived_is_not_archived(
    archiving: Make, redis: Redis, s3: FaultyS3
) -> None:
    """Whoever waits for its commit is told; the archive goes on, as it has nothing that Redis has not."""
    async with archiving() as backbone, backbone.archiver(URI) as archiver:
        keys = [*await send(backbone, 1)]
        await archiver.commit()
        replica = await Replica.of(redis)
        await send(backbone, 2)
        await eventually(lambda: archiver.lag > timedelta(0))
        await replica.take_over(redis)
        with pytest.raises(EventsLost):
            await archiver.commit()
        keys += await send(backbone, 3)
        await archiver.commit()
        assert archiver.ready
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]


async def test_a_redis_that_is_emptied_before_anything_was_archived_is_a_new_one(
    archiving: Make, redis: Redis, s3: FaultyS3
) -> None:
    """The archive has lost nothing and begins."""
    async with archiving() as backbone, backbone.archiver(URI) as archiver:
        await archiver.commit()
        await send(backbone, 1)
        await redis.flushdb()
        keys = await send(backbone, 2)
        await archiver.commit()
        assert archiver.ready
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]


async def test_an_archive_that_was_emptied_is_not_begun_again(
    archiving: Make, s3: FaultyS3, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis knows what it had; so the bucket is not filled with a history without its beginning."""
    async with archiving() as backbone:
        await send(backbone, 1)
        await archive_all(backbone, URI)
        s3.objects.clear()
    async with archiving() as backbone, backbone.archiver(URI) as archiver:
        await send(backbone, 2)
        await eventually(lambda: not archiver.ready)
        assert below(s3.objects, "") == {}
    assert "restore the object" in caplog.text


OUTAGES: dict[str, Choice] = {
    "frozen": "say nothing",
    "refusing": Refusal(503, "SlowDown"),
    "forbidding": Refusal(403, "AccessDenied"),
}


@pytest.mark.parametrize(("outage", "methods"), [("frozen", "PUT GET"), ("refusing", "PUT GET"), ("forbidding", "PUT")])
async def test_when_s3_is_back_nothing_is_missing(archiving: Make, s3: FaultyS3, outage: str, methods: str) -> None:
    """Frozen, refusing, or forbidding what it allowed: until then the archiver is not ready, and goes on by itself."""

    def fail(method: str, path: str) -> Choice | None:
        return OUTAGES[outage] if method in methods else None

    async with archiving(segment_bytes=500, close_after=SOON) as backbone, backbone.archiver(URI) as archiver:
        keys = [*await send(backbone, *range(5))]
        await archiver.commit()
        s3.choose = fail
        keys += await send(backbone, *range(5, 10))
        committing = asyncio.create_task(archiver.commit())
        await eventually(lambda: not archiver.ready)
        assert archiver.alive
        s3.choose = no_fault
        await committing
        await eventually(lambda: archiver.ready)
        assert archiver.lag == timedelta(0)
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]


async def test_an_archiver_that_ended_while_it_began_its_notes_keeps_nobody_from_archiving(
    archiving: Make, redis: Redis, s3: FaultyS3
) -> None:
    """Its notes are completed by the next one: nothing is lost, as nothing was archived yet."""
    await redis.hset("{test:letters}:archive", "committed", "0-0")
    async with archiving() as backbone, backbone.archiver(URI) as archiver:
        keys = await send(backbone, 1)
        await archiver.commit()
    assert archived_keys(s3.objects) == [key.entry_id for key in keys]
