"""What a restore finds, wherever it is: packs alone, an archive elsewhere, streams whose names resemble each other."""

import pytest

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Options, S3Storage
from event_backbone.testing.servers import RedisServer, S3Server
from tests.support.archives import ArchivedStream, archive_all
from tests.support.parcels import GROUP, URI, Parcels, Remembering
from tests.support.s3 import BUCKET, objects_of, s3_client

ENVIRONMENT = "test"


async def _numbers(backbone: Backbone, uri: str = URI) -> list[object]:
    return [each.arguments["number"] async for each in backbone.reader(uri).scan()]


@pytest.mark.parametrize("with_archive", [False, True])
async def test_packs_alone_bring_back_all_events(
    redis_url: str, s3_environment: object, redis_server: RedisServer, *, with_archive: bool
) -> None:
    """In the order of time, marked as restored; groups begin at the beginning. An archive may be empty."""
    del s3_environment
    archive = S3Archive() if with_archive else None
    async with Backbone(redis_url, storage=S3Storage(), archive=archive, environment=ENVIRONMENT) as backbone:
        producer = backbone.producer(Parcels, uri=URI)
        for number in range(10):
            await producer.packed(number)
        redis_server.flush()
        await producer.packed(10)
        plan = await backbone.plan_restore(URI)
        assert (plan.archived, plan.events_lost, plan.live, plan.lost) == (0 if with_archive else None, False, 1, 10)
        assert (await backbone.restore(URI)).appended == 10
        events = [each async for each in backbone.reader(URI).scan()]
        assert [each.arguments["number"] for each in events] == [10, *range(10)]
        assert ["restored" in each.metadata.headers for each in events] == [False] + [True] * 10
        handling = Remembering()
        async with backbone.subscribe(handling.consumer, uri=URI, group=GROUP) as subscription:
            await subscription.until_idle()
        assert sorted(handling.numbers) == list(range(11))
        assert (await backbone.restore(URI)).appended == 0
        assert (await backbone.plan_restore(URI)).nothing_to_do


async def test_the_archive_may_be_in_another_bucket(
    redis_url: str, s3_environment: object, s3_server: S3Server, redis_server: RedisServer
) -> None:
    """Packs and segments are found where each is."""
    del s3_environment
    s3_server.create_bucket("history")
    archive = S3Archive(S3Options(bucket="history"))
    async with Backbone(redis_url, storage=S3Storage(), archive=archive, environment=ENVIRONMENT) as backbone:
        producer = backbone.producer(Parcels, uri=URI)
        await producer.packed(1)
        await archive_all(backbone, URI)
        await producer.packed(2)
        redis_server.flush()
        report = await backbone.restore(URI)
        assert (report.archived, report.appended) == (1, 1)
        assert await _numbers(backbone) == [1, 2]
    assert objects_of(s3_server, "packs/", "history") == objects_of(s3_server, ".zst") == {}


async def test_streams_whose_names_begin_alike_are_restored_apart(
    redis_url: str, s3_environment: object, redis_server: RedisServer
) -> None:
    """Also when one's folder is within another's, where a partition, a year, or a group would be."""
    del s3_environment
    uris = ["a", "a/0", "a/0/2026", "a/0/groups", "ab"]
    async with Backbone(
        redis_url, storage=S3Storage(), archive=S3Archive(segment_bytes=1), environment=ENVIRONMENT
    ) as backbone:
        for number, uri in enumerate(uris):
            producer, handling = backbone.producer(Parcels, uri=uri), Remembering()
            await producer.packed(number)
            await producer.packed(number)
            async with backbone.subscribe(handling.consumer, uri=uri, group=GROUP) as subscription:
                await subscription.until_idle()
            await archive_all(backbone, uri)
            await producer.packed(number)
        redis_server.flush()
        for number, uri in enumerate(uris):
            report = await backbone.restore(uri)
            assert (report.archived, report.appended, list(report.groups or ())) == (2, 1, [GROUP]), uri
            assert await _numbers(backbone, uri) == [number] * 3


async def test_other_partitions_of_the_archive_are_left_alone(
    archived: ArchivedStream, s3_server: S3Server, redis_server: RedisServer
) -> None:
    """A later version may write them; nobody reads them today."""
    keys = await archived.produce(1, 2)
    await archived.archive_all()
    client = s3_client(s3_server)
    for key, data in objects_of(s3_server, f"/archive/{URI}/0/").items():
        for other in ("1", "10"):
            copy = key.replace("/0/1970", f"/{other}/2030", 1)
            client.put_object(Bucket=BUCKET, Key=copy, Body=data)
    redis_server.flush()
    report = await archived.backbone.restore(URI)
    assert (report.archived, report.appended) == (2, 0)
    assert [key for key, _ in await archived.in_redis()] == keys
