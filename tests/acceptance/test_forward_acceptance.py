"""Forwarding, by the numbers of the acceptance list."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from event_backbone import Backbone, Consumer, Context
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.model import OriginFilter
from event_backbone.testing.servers import RedisServer
from tests.acceptance.deployment import ON_SERVERS, Deployment
from tests.support.shipment import ShipmentTracking

URI = "shipments"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
KEPT = ("event_id", "event", "version", "produced_at", "correlation_id", "causation_id", "partition_key", "headers")


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    """A second Redis."""
    with RedisServer() as server:
        yield server


async def _produce(backbone: Backbone) -> None:
    producer = backbone.producer(ShipmentTracking, uri=URI)
    await producer.note.using(correlation_id="c", causation_id="b")("a")
    await producer.packing("jo@example.com", 7, NOW)


async def _forward(source: Backbone, target: Backbone, to_uri: str | None = None) -> None:
    async with source.forwarder(URI, to=target, to_uri=to_uri, follow=False) as forwarder:
        await forwarder.wait()


async def _events(backbone: Backbone, uri: str = URI) -> list[StoredEvent]:
    return [each async for each in backbone.reader(uri).scan()]


def _assert_copies(ours: list[StoredEvent], theirs: list[StoredEvent], source: str) -> None:
    for one, copy in zip(ours, theirs, strict=True):
        assert copy.arguments == one.arguments
        assert [getattr(copy.metadata, each) for each in KEPT] == [getattr(one.metadata, each) for each in KEPT]
        origin = copy.metadata.origin
        assert origin is not None
        assert [(each.stream, each.key) for each in origin.hops] == [(source, one.key)]
        assert one.metadata.origin is None


@ON_SERVERS
async def test_item_14_a_copy_keeps_what_its_original_is_and_says_where_that_is(deployment: Deployment) -> None:
    """Event, payload, URI and metadata are kept; the origin is the only difference, which is item 16's link as well."""
    async with deployment.backbone() as source, deployment.backbone(environment="other") as target:
        await _produce(source)
        await _forward(source, target)
        ours, theirs = await _events(source), await _events(target)
        _assert_copies(ours, theirs, "test:shipments")
        assert {each.metadata.uri for each in theirs} == {URI}
        metadata = theirs[0].json()["metadata"]
        assert isinstance(metadata, dict)
        assert metadata["origin"] == [{"stream": "test:shipments", "key": str(ours[0].key), "link": "test:shipments"}]


@ON_SERVERS
async def test_item_15_another_uri(deployment: Deployment) -> None:
    """The same backbone may be on both sides."""
    async with deployment.backbone() as backbone:
        await _produce(backbone)
        await _forward(backbone, backbone, "copies")
        _assert_copies(await _events(backbone), await _events(backbone, "copies"), "test:shipments")


@ON_SERVERS
@pytest.mark.parametrize(("origin", "expected"), [("any", ["a", "own"]), ("produced", ["own"]), ("forwarded", ["a"])])
async def test_item_35_a_subscription_of_another_environment_chooses_by_origin(
    deployment: Deployment, origin: OriginFilter, expected: list[str]
) -> None:
    """What it does not want is acked, so that nothing stays pending."""
    handled: list[str] = []
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.note)
    async def note(ctx: Context, text: str) -> None:
        handled.append(text)

    async with deployment.backbone() as source, deployment.backbone(environment="other") as target:
        await _produce(source)
        await _forward(source, target)
        await target.producer(ShipmentTracking, uri=URI).note("own")
        async with target.subscribe(consumer, uri=URI, group="g", origin=origin) as subscription:
            await subscription.until_idle()
        (group,) = await target.groups(URI)
        assert (sorted(handled), group.pending, group.unread) == (sorted(expected), 0, 0)
        read = [each async for each in target.reader(URI).scan(origin=origin)]
        assert len(read) == {"any": 3, "produced": 1, "forwarded": 2}[origin]


@ON_SERVERS
async def test_item_36_between_two_servers(deployment: Deployment, other_redis: RedisServer) -> None:
    """Metadata and payload are kept, and a site tells streams of the same name apart."""
    there = Backbone(other_redis.url, storage=deployment.storage(), environment="test", site="east")
    async with deployment.backbone() as source, there as target:
        await _produce(source)
        await _forward(source, target)
        _assert_copies(await _events(source), await _events(target), "test:shipments")
