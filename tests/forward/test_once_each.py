"""Each event once per link: whatever is lost, killed, repeated or older than what the target remembers."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.stream.redis.forwarding import FORWARD
from event_backbone.testing.servers import EmbeddedRedis, RedisServer
from tests.faults.known_scripts import called, load_scripts
from tests.faults.proxy import proxy_before
from tests.forward.test_forwarding import URI, everything, forward
from tests.support.eventually import eventually
from tests.support.shipment import ShipmentTracking


async def produce(backbone: Backbone, count: int, first: int = 0) -> None:
    """Produce notes with numbers as texts, in order."""
    producer = backbone.producer(ShipmentTracking, uri=URI)
    for number in range(first, first + count):
        await producer.note(str(number))


async def assert_same(source: Backbone, target: Backbone, **link: object) -> None:
    """Check that the target has each event of the source once, in order, and the same."""
    assert [each.metadata.event_id for each in await everything(target)] == [
        each.metadata.event_id for each in await everything(source)
    ]
    assert (await source.verify_forward(URI, to=target, **link)).ok  # type: ignore[arg-type]


async def test_lost_answers_make_no_duplicate(source: Backbone, other_server: RedisServer, other_url: str) -> None:
    """Those that the connection repeats by itself, and those that the forwarder meets as an outage."""
    await load_scripts(other_url)
    async with (
        proxy_before(other_server.port) as proxy,
        Backbone(proxy.url, environment="test", site="east") as target,
    ):
        async with source.forwarder(URI, to=target) as forwarder:
            for round_, times in enumerate((1, 2, 3, 7)):
                proxy.lose(called(FORWARD), times)
                await produce(source, 20, 20 * round_)
                await forwarder.until_idle()
            assert forwarder.ready
        await assert_same(source, target)


async def test_two_forwarders_at_once_and_some_that_are_cancelled(source: Backbone, target: Backbone) -> None:
    """At any point: the checkpoint moves with the events, so nobody appends what another one has."""
    random = Random(7)

    async def run_for_a_while() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(random.random() / 20), source.forwarder(URI, to=target) as forwarder:
                await forwarder.wait()

    producing = asyncio.create_task(produce(source, 400))
    while not producing.done():
        await asyncio.gather(*(run_for_a_while() for _ in range(3)))
    await producing
    await forward(source, target)
    await assert_same(source, target)


async def test_events_older_than_the_target_remembers(source: Backbone, other_url: str) -> None:
    """Their ids are long forgotten, and they are forwarded once anyway, also after a repeated start."""
    await produce(source, 5)
    window = timedelta(seconds=1, milliseconds=1)
    there = Backbone(
        other_url, environment="test", site="east", produce_timeout=timedelta(seconds=1), deduplicate_for=window
    )
    last = (await everything(source))[-1].key

    async def is_old() -> bool:
        return datetime.now(UTC) - last.time > window + timedelta(seconds=1)

    await eventually(is_old)
    async with there as target:
        assert [await forward(source, target) for _ in range(2)] == [5, 0]
        await assert_same(source, target)


async def test_a_lost_checkpoint_is_found_in_the_target(source: Backbone, target: Backbone, other_url: str) -> None:
    """The newest event that the link has brought says how far it was; a running forwarder goes on."""
    await produce(source, 5)
    async with Redis.from_url(other_url) as redis, source.forwarder(URI, to=target) as forwarder:
        await forwarder.until_idle()
        assert await redis.delete("{test:shipments}:forwards") == 1
        await produce(source, 5, 5)
        await forwarder.until_idle()
    await assert_same(source, target)


@pytest.mark.parametrize("restored_first", [True, False])
async def test_a_target_that_lost_redis_is_restored_and_gets_the_rest(
    source: Backbone, other_server: RedisServer, other_url: str, s3_environment: dict[str, str], *, restored_first: bool
) -> None:
    """What was archived is restored, what was not comes again by the link: nothing by both, nothing by neither."""
    del s3_environment
    there = Backbone(other_url, storage=S3Storage(), archive=S3Archive(), environment="test", site="east")
    async with there as target:
        await produce(source, 6)
        await forward(source, target)
        async with target.archiver(URI) as archiver:
            await archiver.commit()
        await produce(source, 4, 6)  # forwarded and saved in packs, but not archived
        await forward(source, target)
        other_server.flush()
        if restored_first:
            assert (await target.restore(URI)).appended == 0
        await produce(source, 3, 10)
        await forward(source, target)
        if not restored_first:
            await target.restore(URI)
        assert await forward(source, target) == 0
        await assert_same(source, target)


@pytest.mark.parametrize("remembered", [True, False])
async def test_a_source_that_lost_redis_and_was_restored_makes_no_duplicate(
    redis_servers: EmbeddedRedis, redis_url: str, other_url: str, s3_environment: dict[str, str], *, remembered: bool
) -> None:
    """Its events have new keys, and those that were forwarded are in the target, which may have forgotten their ids."""
    del s3_environment
    here = Backbone(redis_url, storage=S3Storage(), environment="test", site="west")
    window = timedelta(days=1) if remembered else timedelta(milliseconds=20)
    there = Backbone(other_url, environment="test", site="east", produce_timeout=window / 2, deduplicate_for=window)
    async with here as source, there as target, Redis.from_url(other_url) as redis:
        await produce(source, 5)
        assert await forward(source, target) == 5
        await produce(source, 2, 5)
        if not remembered:
            await eventually(lambda: _has_forgotten(redis))
        redis_servers.flush()
        assert (await source.restore(URI)).appended == 7
        await produce(source, 1, 7)
        assert await forward(source, target) == 3
        await assert_same(source, target)


async def _has_forgotten(redis: Redis) -> bool:
    return not await redis.keys("*:seen:*")


async def test_a_record_that_was_never_appended_does_not_come_back(
    source: Backbone, other_url: str, s3_environment: dict[str, str]
) -> None:
    """A forwarder that was killed after it had saved a payload leaves an orphan, which a restore leaves alone."""
    del s3_environment
    there = Backbone(other_url, storage=S3Storage(), archive=S3Archive(), environment="test", site="east")
    async with there as target, Redis.from_url(other_url) as other:
        await produce(source, 1)
        await forward(source, target)
        (event,) = await everything(target)
        await other.xdel("test:shipments", event.key.entry_id)
        plan = await target.plan_restore(URI, since=datetime.now(UTC) - timedelta(hours=1))
        assert plan.lost == 0
