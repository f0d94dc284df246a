"""What a link survives: killed forwarders, servers that restart, and events that leave the source too early."""

import asyncio
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from redis.asyncio import Redis

from event_backbone import Backbone
from event_backbone.archive import S3Archive
from event_backbone.storage import S3Storage
from event_backbone.testing.servers import RedisServer
from tests.forward.test_forwarding import URI, everything, forward
from tests.forward.test_once_each import assert_same, produce
from tests.support.eventually import eventually, longest_seen
from tests.support.repository import ROOT


async def test_forwarders_that_are_killed_at_any_time(
    source: Backbone, target: Backbone, redis_url: str, other_url: str
) -> None:
    """By SIGKILL, while events come: the next one goes on, and each event is in the target once."""
    random, producing = Random(3), asyncio.create_task(produce(source, 3000))
    command = [sys.executable, "-m", "tests.forward.forward_process", redis_url, other_url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "template" / "src")}
    for _ in range(3):
        before = len(await everything(target))
        process = subprocess.Popen(command, cwd=ROOT, env=environment)  # noqa: ASYNC220 - killed below
        try:
            await eventually(lambda seen=before: _has_more(target, seen))  # type: ignore[misc]
            await asyncio.sleep(random.random() / 10)  # any moment
        finally:
            process.kill()
            process.wait()
        await produce(source, 1)
    await producing
    await forward(source, target)
    await assert_same(source, target)


async def _has_more(target: Backbone, before: int) -> bool:
    return len(await everything(target)) > before


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_server_that_restarts_is_waited_for(own_redis: RedisServer, other_url: str, side: str) -> None:
    """The link is not ready meanwhile, and then goes on by itself."""
    urls = (own_redis.url, other_url) if side == "source" else (other_url, own_redis.url)
    here, there = (
        Backbone(url, environment="test", site=site) for url, site in zip(urls, ("west", "east"), strict=True)
    )
    async with here as source, there as target, source.forwarder(URI, to=target) as forwarder:
        await produce(source, 50)
        await forwarder.until_idle()
        own_redis.kill()
        if side == "target":
            await produce(source, 50, 50)
        await eventually(lambda: not forwarder.ready)
        own_redis.start()
        await produce(source, 50, 100)
        await forwarder.until_idle()
        await eventually(lambda: forwarder.ready)
        await assert_same(source, target)


@pytest.mark.parametrize("reason", ["OOM", "READONLY"])
async def test_a_target_that_refuses_is_waited_for(source: Backbone, own_redis: RedisServer, reason: str) -> None:
    """It has no memory left, or has become a replica: what it refused comes later, once, and in order."""
    is_full = reason == "OOM"
    there = Backbone(own_redis.url, environment="test", site="east")
    async with there as target, Redis.from_url(own_redis.url) as admin:
        await produce(source, 5)
        await forward(source, target)
        await (admin.config_set("maxmemory", "1") if is_full else admin.replicaof("127.0.0.1", 1))
        await produce(source, 5, 5)
        async with asyncio.timeout(30), source.forwarder(URI, to=target) as forwarder:
            await eventually(lambda: reason in str(forwarder.problem))
            assert (forwarder.ready, forwarder.handled) == (False, 0)
            await (admin.config_set("maxmemory", "0") if is_full else admin.replicaof("NO", "ONE"))
            await forwarder.until_idle()
        await assert_same(source, target)


async def test_what_left_the_source_too_early_is_reported(
    source: Backbone, target: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an archive it is nowhere; a new link only begins later."""
    await produce(source, 2)
    await forward(source, target)
    await produce(source, 2, 2)
    await source.trim(URI, before=datetime.now(UTC) + timedelta(seconds=1))
    await produce(source, 1, 4)
    with caplog.at_level(logging.ERROR, "event_backbone"):
        assert await forward(source, target) == 1
        assert await forward(source, target, name="new", events=None, origin="forwarded") == 0
    (record,) = [each for each in caplog.records if "left stream" in each.getMessage()]
    assert "before link west//test:shipments had forwarded them" in record.getMessage()
    assert (await source.verify_forward(URI, to=target)).ok


@pytest.mark.usefixtures("s3_environment")
async def test_with_an_archive_nothing_is_missed(redis_url: str, target: Backbone) -> None:
    """What has left the stream is forwarded from its archive, with its payload."""
    here = Backbone(redis_url, storage=S3Storage(), archive=S3Archive(), environment="test", site="west")
    async with here as source:
        await produce(source, 5)
        async with source.archiver(URI) as archiver:
            await archiver.commit()
        await source.trim(URI, before=datetime.now(UTC) + timedelta(seconds=1))
        await produce(source, 2, 5)
        forwarder = source.forwarder(URI, to=target, follow=False)
        async with longest_seen(lambda: forwarder.lag) as longest, forwarder:
            await forwarder.wait()
        assert (forwarder.handled, longest[0] < timedelta(minutes=5)) == (7, True)  # no event is older
        await assert_same(source, target)
