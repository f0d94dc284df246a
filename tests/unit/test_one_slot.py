"""In a cluster all keys of a URI are in its slot, whatever is done with its events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from event_backbone import Backbone, Consumer, Context
from event_backbone.archive import S3Archive
from event_backbone.errors import Reject, Retry
from event_backbone.model import StreamName
from event_backbone.retention import Retention
from event_backbone.storage import RedisHashStorage, S3Storage
from event_backbone.testing import RedisCluster
from event_backbone.wire import keys
from tests.support.eventually import eventually
from tests.support.parcels import Parcels

URI, COPY, GROUP, ENVIRONMENT = "orders/v1:eu", "orders/copy", "main", "test"
SHORT_LIVED = {
    keys.ARCHIVER_KEY,
    keys.RETENTION_KEY,
    keys.RESTORE_KEY,
    keys.REDRIVEN_KEY,
    keys.ERASED_KEY,
    keys.ABSENT_KEY,
    *(value for name, value in vars(keys).items() if name.startswith("RESTORING_")),
}
"""Never there, or only while something is under way; ``StreamName.key_of`` makes them like all others."""


@pytest.mark.parametrize("uri", ["orders", "orders/v1:eu", "a.b_c-d"])
def test_every_purpose_of_a_key_leads_to_the_slot_of_the_stream(uri: str) -> None:
    """The stream's key is the hash tag of all others."""
    stream = StreamName.of(uri, ENVIRONMENT)
    purposes = [value for name, value in vars(keys).items() if name.endswith("_KEY")]
    assert len(purposes) > 20
    slots = {key_slot(stream.key_of(f"{each}:{{x}}").encode()) for each in purposes}
    assert slots == {key_slot(stream.key.encode())}


@pytest.fixture
async def nodes(redis_cluster: RedisCluster) -> AsyncIterator[list[Redis]]:
    """A client of each primary of an empty cluster."""
    redis_cluster.flush()
    clients = [Redis.from_url(each.url) for each in redis_cluster.nodes if each.is_primary()]
    yield clients
    for client in clients:
        await client.aclose()


async def test_whatever_is_done_with_events_their_keys_stay_in_one_slot(
    redis_cluster: RedisCluster, nodes: list[Redis], s3_environment: dict[str, str]
) -> None:
    """Every key of every node, after each step; the steps make all kinds of keys that last."""
    del s3_environment
    found: set[str] = set()
    look = partial(_look, nodes, found)
    async with Backbone(
        redis_cluster.url,
        environment=ENVIRONMENT,
        storage=RedisHashStorage(inline_up_to_bytes=64),
        also_read=[S3Storage()],
        archive=S3Archive(close_after=timedelta(milliseconds=200)),
        retention=Retention(max_age=timedelta(days=1)),
    ) as backbone:
        await _handle(backbone, look)
        await look()
        await backbone.dead_letters(URI, GROUP).redrive_all()
        await look()
        async with backbone.archiver(URI) as archiver:
            await archiver.until_idle()
        await look()
        async with backbone.forwarder(URI, to=backbone, to_uri=COPY, follow=False) as forwarder:
            await forwarder.wait()
        await look()
        async for event in backbone.reader(URI).scan():
            await backbone.erase(URI, event.key)
        await look()
        await backbone.seek(URI, GROUP, "beginning")
        await look()
        await backbone.delete_group(URI, GROUP, dead_letters=True)
        await backbone.restore(URI)
        await look()
    lasting = {value for name, value in vars(keys).items() if name.endswith("_KEY")} - SHORT_LIVED
    seen = {purpose for purpose in lasting if any(each == purpose or each.startswith(f"{purpose}:") for each in found)}
    assert (lasting - seen, any(each.startswith(keys.ABSENT_KEY) for each in found)) == (set(), False)


async def _handle(backbone: Backbone, look: Callable[[], Awaitable[None]]) -> None:
    """Produce events that are handled, parked, rejected, and followed up."""
    consumer, parcels = Consumer(Parcels), backbone.producer(Parcels, uri=URI)

    @consumer.on(Parcels.packed)
    async def packed(ctx: Context, number: int) -> None:
        await parcels.packed.using(once="copy")(number + 10) if number < 3 else None
        if number == 1:
            raise Retry(after=timedelta(hours=1))
        if number == 2:
            raise Reject("no")

    async def all_decided() -> bool:
        (group,) = await backbone.groups(URI)
        return (group.parked, group.dead_letters, group.unread) == (1, 1, 0)

    for number in range(5):
        await parcels.packed(number)
    await parcels.sent(5, "x" * 100)
    await backbone.reserve_event_id(URI, "token", b"request")
    async with backbone.subscribe(consumer, uri=URI, group=GROUP):
        await eventually(all_decided)
        await look()


async def _look(nodes: list[Redis], found: set[str]) -> None:
    """Check every key of every node, and add its purpose to those that were found."""
    for node in nodes:
        for key in cast("list[bytes]", await node.keys()):
            tag = key[1 : key.index(b"}")] if key.startswith(b"{") else key
            assert tag.decode() in {f"{ENVIRONMENT}:{URI}", f"{ENVIRONMENT}:{COPY}"}, key
            assert key_slot(key) == key_slot(tag)
            if key != tag:
                found.add(key[key.index(b"}") + 2 :].decode())
