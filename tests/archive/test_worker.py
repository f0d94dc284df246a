"""Archivers in a worker: they start, stop and are judged with its subscriptions; an API stays ready without them."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, ConfigurationError, StorageUnavailable, Worker
from event_backbone.archive.state import ArchiveState
from event_backbone.web.readiness import why_not_archived, why_not_ready
from tests.archive.conftest import Make
from tests.support.eventually import eventually
from tests.support.faulty_s3 import FaultyS3, Page, no_fault
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack

SOON = timedelta(seconds=2)


async def test_idle_means_handled_and_archived(archived_backbone: Make) -> None:
    """What a handler has produced is archived too; stopping ends all of them."""
    async with asyncio.timeout(20), archived_backbone() as backbone:
        remembering = Remembering()
        await pack(backbone, 1, 2)
        worker = Worker(
            backbone.archiver(URI),
            backbone.subscribe(remembering.consumer, uri=URI, group=GROUP),
        )
        assert not worker.alive
        async with worker:
            await worker.until_idle()
            assert [each.uri for each in worker.archivers] == [each.uri for each in worker.subscriptions] == [URI]
            assert [each.handled for each in worker.subscriptions] == [each.handled for each in worker.archivers] == [2]
            assert worker.alive
            await eventually(lambda: worker.ready)
            worker.stop()
            await worker.wait()
            assert not worker.alive
        keys = [each.key async for each in backbone.reader(URI).scan()]
        state = await backbone.archive_state(URI)
        assert (state.committed, state.lag, state.events_lost) == (keys[-1], timedelta(0), False)


async def test_a_worker_that_ends_when_nothing_is_left_has_archived_everything(archived_backbone: Make) -> None:
    """Its archiver ends with its only subscription."""
    async with asyncio.timeout(20), archived_backbone() as backbone:
        await pack(backbone, 1, 2)
        ending = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, until="empty")
        async with Worker(backbone.archiver(URI), ending) as worker:
            await worker.wait()
            assert [each.handled for each in worker.subscriptions] == [each.handled for each in worker.archivers] == [2]


async def test_a_worker_that_waits_for_the_archive_can_be_stopped(archiving: Make, s3: FaultyS3) -> None:
    """While S3 is away, what is left is never archived; a stop ends the wait, which is no error."""
    async with asyncio.timeout(60), archiving() as backbone:
        ending = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, until="empty")
        async with Worker(backbone.archiver(URI), ending) as worker:
            await eventually(lambda: worker.ready)
            s3.choose = lambda _method, _path: Page(503)
            await pack(backbone, 1)
            idle = asyncio.create_task(worker.until_idle())
            await eventually(lambda: worker.archivers[0].problem is not None)
            worker.stop()
            await worker.wait()
            await idle
            assert not worker.alive


async def test_an_archiver_alone_makes_a_worker(archived_backbone: Make) -> None:
    """As in a project that only produces; without any part one sentence says what is missing."""
    async with asyncio.timeout(20), archived_backbone() as backbone:
        await backbone.producer(Parcels, uri=URI).packed(1)
        async with Worker(backbone.archiver(URI)) as worker:
            await worker.until_idle()
            assert (worker.subscriptions, worker.archivers[0].handled) == ((), 1)
    with pytest.raises(ConfigurationError, match="A worker needs a part"):
        Worker()


async def test_a_worker_whose_archiver_cannot_start_does_not_run(archived_backbone: Make) -> None:
    """Another environment's bucket, for example; its subscriptions are stopped again."""
    async with asyncio.timeout(20), archived_backbone("redis-hash") as backbone:
        subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
        archiver = backbone.archiver(URI)
        async with archiver:
            pass
        with pytest.raises(ConfigurationError, match="runs once"):
            async with Worker(archiver, subscription):
                raise AssertionError("it has started")
        assert not subscription.alive


async def test_an_outage_of_the_archive_makes_a_worker_unready_and_leaves_an_api_ready(
    archiving: Make, s3: FaultyS3
) -> None:
    """Handlers go on, the state cannot be read, and all is well once S3 answers again."""
    async with asyncio.timeout(60), archiving() as backbone:
        subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP)
        async with Worker(subscription, backbone.archiver(URI)) as worker:
            await eventually(lambda: worker.ready)
            s3.choose = lambda _method, _path: Page(503)
            await pack(backbone, 1)
            committing = asyncio.create_task(worker.archivers[0].commit())
            await worker.subscriptions[0].until_idle()
            await eventually(lambda: not worker.ready)
            assert isinstance(worker.archivers[0].problem, StorageUnavailable)
            await eventually(lambda: worker.archivers[0].lag > timedelta(0))
            assert why_not_archived(worker) == "Events are not archived in time at the moment; the log says why."
            assert await why_not_ready(backbone, SOON, worker) is None
            with pytest.raises(StorageUnavailable):
                await backbone.archive_state(URI)
            s3.choose = no_fault
            await committing
            await eventually(lambda: worker.ready)
            assert why_not_archived(worker) is None


@pytest.mark.parametrize("lost", ["the stream", "the notes", "everything"])
async def test_lost_events_are_reported(archived_backbone: Make, redis: Redis, lost: str) -> None:
    """By the state, whatever Redis has lost, and by the readiness of a worker."""
    async with asyncio.timeout(20), archived_backbone() as backbone:
        await pack(backbone, 1, 2)
        async with Worker(backbone.archiver(URI)) as worker:
            await worker.until_idle()
            if lost != "the notes":
                await redis.delete("test:parcels")
            if lost != "the stream":
                await redis.delete("{test:parcels}:archive")
            state = await backbone.archive_state(URI)
            assert (state.committed is not None, state.events_lost) == (True, True)
            if lost != "the stream":  # which an archiver notices when it saves the groups, every 10 s
                await eventually(lambda: not worker.ready)
                assert why_not_archived(worker) == "Redis has lost events that the archive has; restore them."


async def test_a_stream_without_segments_has_lost_nothing(archived_backbone: Make) -> None:
    """Whether it is empty or not; the lag is the age of its oldest event."""
    async with asyncio.timeout(20), archived_backbone() as backbone:
        assert await backbone.archive_state(URI) == ArchiveState(None, timedelta(0), events_lost=False)
        await pack(backbone, 1)
        state = await backbone.archive_state(URI)
        assert (state.committed, state.events_lost) == (None, False)
        assert timedelta(0) <= state.lag < timedelta(seconds=20)
        await eventually(lambda: _is_later(backbone, state.lag))


async def _is_later(backbone: Backbone, lag: timedelta) -> bool:
    return (await backbone.archive_state(URI)).lag > lag
