"""Outcomes of events that cannot be read: one test for each row of docs/reference/outcomes.md."""

import json
from typing import cast

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.storage import MemoryStorage, Part, RedisHashStorage, S3Options, S3Storage, SplitStorage
from event_backbone.testing.servers import RedisServer
from tests.outcomes.one_event import AT_ONCE, OtherParcels, assert_dead, assert_skipped, handle_one, letters, parked
from tests.support.crashes import STREAM
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Refusal, faulty_s3
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within


class Calls(Contract):
    """Who rang at the door, whose number can be missing."""

    @event
    def rung(self, number: int, phone: str | None) -> None:
        """Somebody rang."""


async def test_entry_of_another_writer(backbone: Backbone, redis: Redis, counted: CountedMetrics) -> None:
    """A dead letter: it is not an event, or has a later wire format."""
    await redis.xadd(STREAM.key, {"hello": "world"})
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "undecodable")


async def test_inline_payload_of_another_writer(backbone: Backbone, redis: Redis, counted: CountedMetrics) -> None:
    """A dead letter: the name of an argument is not UTF-8, and the argument that there should be is missing."""
    await pack(backbone, 1)
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(STREAM.key))
    metadata = json.loads(fields[b"metadata"]) | {"payload": []}
    await redis.delete(STREAM.key)
    await redis.xadd(STREAM.key, {b"wire": b"1", b"metadata": json.dumps(metadata).encode(), b"arg:\xff": b"1"})
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "undecodable")


async def test_undecodable_event(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once: waiting does not make it decodable."""
    await backbone.producer(OtherParcels, uri=URI).packed("one")
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "undecodable")


async def test_unknown_event(backbone: Backbone, redis: Redis, counted: CountedMetrics) -> None:
    """Acked, and counted as skipped; its payload is not even loaded."""
    await backbone.producer(OtherParcels, uri=URI).burnt(1)
    await redis.delete(*await redis.keys(STREAM.key_of("payload:*")))
    await handle_one(backbone, Remembering().consumer)
    await assert_skipped(backbone, counted, "unknown-event", "unknown")


async def test_unknown_event_kept(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once, under ``unknown="dead-letter"``."""
    await backbone.producer(OtherParcels, uri=URI).burnt(1)
    keeping = backbone.subscribe(
        Remembering().consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE, unknown="dead-letter"
    )
    await run_to_the_end(keeping)
    await assert_dead(backbone, counted, "unknown-event")


async def test_unknown_version(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once, unless an upcaster starts from it."""
    await backbone.producer(OtherParcels, uri=URI).packed_2(1)
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "unknown-version")


async def test_payload_missing(backbone: Backbone, redis: Redis, counted: CountedMetrics) -> None:
    """A dead letter at once: it has expired or was deleted."""
    await pack(backbone, 1)
    keys = await redis.keys(STREAM.key_of("payload:*"))
    assert await redis.delete(*keys) == 1
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "payload-gone")


async def test_payload_forbidden(redis_url: str, counted: CountedMetrics) -> None:
    """Tried as often as a failing handler, since permissions may be wrong for a while; then a dead letter."""
    async with faulty_s3() as server:
        options = S3Options("events", region="eu-central-1", access_key="a", secret_key="s", endpoint=server.endpoint)
        async with Backbone(redis_url, storage=S3Storage(options), environment="test") as backbone:
            await pack(backbone, 1)
            server.reads = Refusal(403, "AccessDenied")
            subscription = backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE)
            await run_to_the_end(subscription)
            await assert_dead(backbone, counted, "payload-gone")
    assert counted.count("event_backbone.retried", group=GROUP) == 2


async def test_payload_erased(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked, and counted as skipped."""
    remembering = Remembering()
    key = await backbone.producer(Parcels, uri=URI).packed(1)
    await backbone.erase(URI, key)
    await handle_one(backbone, remembering.consumer)
    await assert_skipped(backbone, counted, "erased", "packed")
    assert remembering.numbers == []


async def test_payload_partial(redis_url: str, redis: Redis, counted: CountedMetrics) -> None:
    """Handled with None for what was in the missing part, which is counted."""
    split = SplitStorage(RedisHashStorage(), {"phone": RedisHashStorage(name="personal")})
    missing: list[tuple[str, ...]] = []
    consumer = Consumer(Calls)

    @consumer.on(Calls.rung)
    async def rung(ctx: Context, number: int, phone: str | None) -> None:
        missing.append(ctx.metadata.missing)

    async with Backbone(redis_url, storage=split, environment="test") as backbone:
        producer = backbone.producer(Calls, uri=URI)
        await backbone.erase(URI, await producer.rung(1, "555-1234"), part="personal")
        gone = await producer.rung(2, "555-1234")
        (_, place) = backbone.location(await backbone.reader(URI).get(gone))
        assert await redis.delete(place) == 1
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=2, retry=AT_ONCE))
        assert await letters(backbone) == []
    assert missing == [("phone",)] * 2
    for reason in ("erased", "gone"):
        assert counted.count("event_backbone.partial", reason=reason, uri=URI, group=GROUP, event="rung") == 1
    assert counted.count("event_backbone.handled", group=GROUP, event="rung") == 2


async def test_payload_not_given_on_purpose(redis_url: str, counted: CountedMetrics) -> None:
    """Acked, and counted as skipped: nothing of the event is meant for this consumer."""
    remembering, elsewhere = Remembering(), MemoryStorage("elsewhere")
    without = SplitStorage(RedisHashStorage(), by_event={"packed": Part("elsewhere", optional=True)})
    async with (
        Backbone(redis_url, storage=elsewhere, environment="test") as backbone,
        Backbone(redis_url, storage=without, environment="test") as lacking,
    ):
        await pack(backbone, 1)
        await handle_one(lacking, remembering.consumer)
        await assert_skipped(backbone, counted, "not-given", "packed")
    assert remembering.numbers == []


async def test_storage_not_given(redis_url: str, counted: CountedMetrics, caplog: pytest.LogCaptureFixture) -> None:
    """It waits, uncounted and not ready, for a consumer that has the storage; what needs no payload goes on."""
    without, having = Remembering(), Remembering()
    elsewhere = MemoryStorage(name="elsewhere")
    async with (
        Backbone(redis_url, storage=elsewhere, environment="test") as backbone,
        Backbone(redis_url, environment="test") as lacking,
    ):
        await pack(backbone, 1)
        await backbone.producer(Parcels, uri=URI).sent(2, "a@b.c")
        async with stopped_within(lacking.subscribe(without.consumer, uri=URI, group=GROUP)) as waiting:
            await eventually(lambda: counted.count("event_backbone.unhandled", event="sent") == 1)
            await eventually(lambda: parked(backbone))
            assert not waiting.ready
            async with stopped_within(backbone.subscribe(having.consumer, uri=URI, group=GROUP)) as joined:
                await eventually(lambda: having.numbers == [1])
                assert joined.ready
            await pack(backbone, 3)
            await eventually(lambda: parked(backbone))
        await handle_one(backbone, having.consumer)
        assert (without.numbers, having.numbers, having.attempts, await letters(backbone)) == ([], [1, 3], [1, 1], [])
        assert counted.count("event_backbone.outages", side="storage") == 1
    (said,) = [each.getMessage() for each in caplog.records if "'elsewhere'" in each.getMessage()]
    assert "also_read=" in said


async def test_requirement_not_known(
    backbone: Backbone, redis: Redis, counted: CountedMetrics, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits, uncounted and not ready, for a member that can read it; the next event is handled."""
    remembering = Remembering()
    await pack(backbone, 1)
    ((_, fields),) = cast("list[tuple[bytes, dict[bytes, bytes]]]", await redis.xrange(STREAM.key))
    later = fields[b"metadata"].removesuffix(b"}") + b',"requires":["encryption"]}'
    await redis.xadd(STREAM.key, {"wire": "1", "metadata": later})
    await pack(backbone, 2)
    async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)) as waiting:
        await eventually(lambda: sorted(remembering.numbers) == [1, 2])
        await eventually(lambda: parked(backbone))
        assert not waiting.ready
    assert (remembering.attempts, await letters(backbone)) == ([1, 1], [])
    assert counted.count("event_backbone.outages", side="storage") == 1
    (said,) = [each.getMessage() for each in caplog.records if "encryption" in each.getMessage()]
    assert "update it" in said


async def test_storage_down(redis_url: str, own_redis: RedisServer, counted: CountedMetrics) -> None:
    """Retried for as long as it takes, on the same attempt; reading is bounded meanwhile."""
    remembering = Remembering()
    storage = RedisHashStorage(redis=own_redis.url, name="elsewhere")
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        await pack(backbone, 1, 2)
        own_redis.kill()
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 60):
            await eventually(lambda: counted.count("event_backbone.outages", side="storage") == 1)
            assert remembering.numbers == []
            own_redis.start()
            await eventually(lambda: len(remembering.numbers) == 2)
        assert remembering.attempts == [1, 1]
        assert counted.count("event_backbone.outages", side="storage") == 1
        assert await letters(backbone) == []
