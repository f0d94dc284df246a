"""Views of a history that has gaps, erased events, parts that are missing, and events with new keys."""

import asyncio
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone, ConfigurationError, EventsLost, ProjectionFailed
from event_backbone.archive import S3Archive
from event_backbone.projection import Projector, SqliteStore
from event_backbone.storage import RedisHashStorage, S3Storage, SplitStorage
from event_backbone.testing.servers import EmbeddedRedis, RedisServer
from tests.support.archives import archive_all
from tests.support.eventually import eventually, longest_seen
from tests.support.letters import URI, send, trim
from tests.support.metrics import CountedMetrics
from tests.support.views import Row, letters_view, numbers_in, rows_of


async def _catch_up(projector: Projector) -> None:
    async with asyncio.timeout(20), projector:
        await projector.until_caught_up()


@pytest.mark.parametrize("trimmed", [False, True])
async def test_archive_and_stream_are_one_history(
    redis_url: str, redis: Redis, s3_environment: object, store: SqliteStore, views: Path, *, trimmed: bool
) -> None:
    """What has left the stream is folded from the archive, in order."""
    archive = S3Archive(segment_bytes=3000)
    async with Backbone(redis_url, storage=RedisHashStorage(), archive=archive, environment="test") as backbone:
        keys = await send(backbone, *range(250))
        await archive_all(backbone, URI)
        if trimmed:
            await trim(redis, keys[180])
        await send(backbone, 250)
        projector = backbone.projector(letters_view(), URI, store=store)
        async with longest_seen(lambda: projector.lag) as longest:
            await _catch_up(projector)
        assert longest[0] < timedelta(minutes=5)  # no event is older
    assert numbers_in(views) == list(range(251))


async def test_a_view_without_its_beginning_is_refused(
    backbone: Backbone, redis: Redis, store: SqliteStore, views: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Retention without an archive has removed it. ``allow_gaps`` does without, and says so."""
    keys = await send(backbone, *range(10))
    await trim(redis, keys[4])
    with pytest.raises(ConfigurationError, match=r"before .* have left stream test:letters, which has no archive"):
        await _catch_up(backbone.projector(letters_view(), URI, store=store))
    assert rows_of(views) == []
    await _catch_up(backbone.projector(letters_view(), URI, store=store, allow_gaps=True))
    assert numbers_in(views) == [4, 5, 6, 7, 8, 9]
    assert "It goes on without them." in caplog.text


async def test_a_projection_that_retention_has_overtaken_is_refused_too(
    backbone: Backbone, redis: Redis, store: SqliteStore, views: Path
) -> None:
    """It ran too seldom; the view stays as it is. What it has folded may leave the stream."""
    keys = await send(backbone, *range(10))
    await _catch_up(backbone.projector(letters_view(), URI, store=store))
    await trim(redis, keys[9].successor())
    later = await send(backbone, 10, 11)
    await _catch_up(backbone.projector(letters_view(), URI, store=store))
    await send(backbone, 12)
    newest = (await send(backbone, 13))[0]
    await trim(redis, newest)
    with pytest.raises(ConfigurationError, match=f"Events after {later[1]} and before {newest}"):
        await _catch_up(backbone.projector(letters_view(), URI, store=store))
    assert numbers_in(views) == list(range(12))


@pytest.mark.parametrize("erased", [True, False])
async def test_an_erased_event_comes_without_its_payload(
    backbone: Backbone, store: SqliteStore, views: Path, counted: CountedMetrics, *, erased: bool
) -> None:
    """Or is counted. A view that has it already keeps what it has until it is built again."""
    keys = await send(backbone, 1, 2, 3)
    await _catch_up(backbone.projector(letters_view(erased=erased), URI, store=store))
    await backbone.erase(URI, keys[1])
    await _catch_up(backbone.projector(letters_view(erased=erased), URI, store=store))
    assert numbers_in(views) == [1, 2, 3]
    await _catch_up(backbone.projector(letters_view(erased=erased), URI, store=store, rebuild=True))
    expected = [Row(str(keys[1]), None, None, "erased")] if erased else []
    assert rows_of(views)[1:-1] == expected
    assert counted.count("event_backbone.fold_skipped", reason="erased") == (not erased)


async def test_of_a_partial_payload_arguments_are_none(
    redis_url: str, s3_environment: object, store: SqliteStore, views: Path
) -> None:
    """As for handlers; ``metadata.missing`` names them."""
    storage = SplitStorage(S3Storage(), {"email": RedisHashStorage(name="personal")})
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        (key,) = await send(backbone, 1)
        await backbone.erase(URI, key, part="personal")
        await _catch_up(backbone.projector(letters_view(), URI, store=store))
    assert rows_of(views) == [Row(str(key), 1, None, "email")]


@pytest.mark.parametrize("archived", [True, False])
async def test_after_a_restore_no_event_is_twice_in_a_view(
    redis_servers: EmbeddedRedis,
    redis_url: str,
    s3_environment: object,
    store: SqliteStore,
    views: Path,
    counted: CountedMetrics,
    *,
    archived: bool,
) -> None:
    """Events that were not archived come again under new keys: one projector builds the view again, or asks for it."""
    archive = S3Archive() if archived else None
    async with Backbone(redis_url, storage=S3Storage(), archive=archive, environment="test") as backbone:
        await send(backbone, 1, 2)
        if archived:
            await archive_all(backbone, URI)
        await send(backbone, 3, 4)
        second = backbone.projector(letters_view(), URI, store=store) if archived else nullcontext()
        async with asyncio.timeout(30), second, backbone.projector(letters_view(), URI, store=store) as projector:
            await projector.until_caught_up()
            redis_servers.flush()
            await eventually(lambda: isinstance(projector.problem, EventsLost), within_seconds=20)
            assert not projector.ready
            await backbone.restore(URI)
            if archived:
                await eventually(lambda: projector.ready, within_seconds=20)
                assert counted.count("event_backbone.projection_rebuilt") in {2, 3}  # not once for each projector
            else:
                with pytest.raises(
                    ProjectionFailed, match=r"was restored, .* Build the view again with rebuild=True\."
                ):
                    await projector.wait()
        if not archived:
            assert numbers_in(views) == [1, 2, 3, 4]
            await _catch_up(backbone.projector(letters_view(), URI, store=store, rebuild=True))
        assert sorted(map(int, filter(None, numbers_in(views)))) == [1, 2, 3, 4]
        before = rows_of(views)
        await _catch_up(backbone.projector(letters_view(), URI, store=store))
        assert rows_of(views) == before
        assert [row.key for row in before] == [str(each.key) async for each in backbone.reader(URI).scan()]


async def test_what_was_restored_before_it_was_forwarded_is_new(
    redis_servers: EmbeddedRedis, redis_url: str, own_redis: RedisServer, s3_environment: object, views: Path
) -> None:
    """A restore of a link's source is none of the target, so the view of the target goes on."""
    here = Backbone(redis_url, storage=S3Storage(), environment="test")
    async with here as source, Backbone(own_redis.url, environment="copy") as target, SqliteStore(views) as store:
        await send(target, 0)
        async with asyncio.timeout(30), target.projector(letters_view(), URI, store=store) as projector:
            await projector.until_caught_up()
            await send(source, 1, 2)
            redis_servers.flush()
            assert (await source.restore(URI)).appended == 2
            async with source.forwarder(URI, to=target, follow=False) as forwarder:
                await forwarder.wait()
            await projector.until_caught_up()
    assert numbers_in(views) == [0, 1, 2]
