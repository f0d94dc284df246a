"""One test for each row of docs/reference/outcomes.md."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.connection import RedisConnection
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.contract.stored_event import StoredEvent
from event_backbone.dead_letters import DeadEvent
from event_backbone.errors import Reject, Retry
from event_backbone.policy import RetryPolicy
from event_backbone.settings import RedisSettings
from event_backbone.storage import RedisHashStorage, S3Options, S3Storage
from event_backbone.stream.base import Streams
from event_backbone.stream.redis import RedisStreams
from event_backbone.stream.values import Lease
from event_backbone.testing.servers import RedisServer
from tests.support.crashes import STREAM, crash, crash_again, steal
from tests.support.eventually import eventually
from tests.support.faulty_s3 import Refusal, faulty_s3
from tests.support.metrics import CountedMetrics
from tests.support.parcels import GROUP, URI, Parcels, Remembering, pack, run_to_the_end, stopped_within

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "outcomes.md"
AT_ONCE = RetryPolicy(max_attempts=3, backoff=timedelta())


class OtherParcels(Contract):
    """Another team's idea of the same stream."""

    @event
    def packed(self, number: str) -> None:
        """The same event, with an argument of another type."""

    @event(name="packed", version=2)
    def packed_2(self, number: int) -> None:
        """A version that the consumer does not know."""

    @event
    def burnt(self, number: int) -> None:
        """An event that the consumer does not know."""


@pytest.fixture
async def backbone(redis_url: str) -> AsyncIterator[Backbone]:
    """An open backbone on an empty Redis."""
    async with Backbone(redis_url, environment="test") as opened:
        yield opened


@pytest.fixture
async def streams(redis_url: str) -> AsyncIterator[Streams]:
    """The streams below the backbone, for what other consumers do."""
    connection = RedisConnection(RedisSettings.parse(redis_url))
    yield RedisStreams(connection)
    await connection.close()


@pytest.fixture
def counted() -> CountedMetrics:
    """What the test itself counts."""
    return CountedMetrics()


async def handle_one(backbone: Backbone, consumer: Consumer[Parcels], retry: RetryPolicy = AT_ONCE) -> None:
    """Handle one event to its end."""
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))


async def letters(backbone: Backbone) -> list[DeadEvent]:
    """Return the dead letters of the group."""
    return [each async for each in backbone.dead_letters(URI, GROUP).list()]


async def assert_dead(backbone: Backbone, counted: CountedMetrics, reason: str) -> None:
    """The one event is a dead letter for this reason, acked, and counted."""
    assert [each.reason for each in await letters(backbone)] == [reason]
    assert counted.count("event_backbone.dead_lettered", reason=reason, uri=URI, group=GROUP) == 1
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_handlers_succeed(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked, and counted as handled."""
    await pack(backbone, 1)
    await handle_one(backbone, Remembering().consumer)
    assert counted.count("event_backbone.handled", event="packed") == 1
    assert await letters(backbone) == []


async def test_contract_event_without_handler(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked, and counted as unhandled; its payload is not even loaded."""
    await backbone.producer(Parcels, uri=URI).sent(1, "a@b.c")
    await handle_one(backbone, Remembering().consumer)
    assert counted.count("event_backbone.unhandled", event="sent") == 1
    assert await letters(backbone) == []
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_no_handler_but_a_fallback(backbone: Backbone, counted: CountedMetrics) -> None:
    """The fallback gets it, known to the contract or not."""
    remembering, rest = Remembering(), list[str]()

    @remembering.consumer.fallback
    async def fallback(ctx: Context, event: StoredEvent) -> None:
        rest.append(event.metadata.event)

    await backbone.producer(OtherParcels, uri=URI).burnt(1)
    await handle_one(backbone, remembering.consumer)
    assert (rest, await letters(backbone)) == (["burnt"], [])
    assert counted.count("event_backbone.handled", event="unknown") == 1


async def test_handler_fails(backbone: Backbone, counted: CountedMetrics) -> None:
    """Retried up to the last attempt, then a dead letter."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise OSError

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    await assert_dead(backbone, counted, "attempts-exhausted")
    assert counted.count("event_backbone.retried", event="packed") == 2


async def test_handler_asks_for_a_retry(backbone: Backbone, counted: CountedMetrics) -> None:
    """Retried when it says, which is an attempt like any other."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        if ctx.attempt == 1:
            raise Retry(after=timedelta())

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    assert counted.count("event_backbone.retried", event="packed") == 1
    assert counted.count("event_backbone.handled", event="packed") == 1
    assert await letters(backbone) == []


async def test_handler_rejects(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        raise Reject("never")

    await pack(backbone, 1)
    await handle_one(backbone, consumer)
    await assert_dead(backbone, counted, "rejected")
    assert counted.count("event_backbone.retried") == 0


async def test_handler_returns_without_the_manual_ack(backbone: Backbone, counted: CountedMetrics) -> None:
    """Called again, on the same attempt, until it acks."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        if len(attempts) == 2:
            await ctx.ack()

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=AT_ONCE, ack="manual"))
    assert attempts == [1, 1]
    assert counted.count("event_backbone.retried", event="packed") == 1
    assert await letters(backbone) == []


async def test_handler_fails_under_always(backbone: Backbone, counted: CountedMetrics) -> None:
    """Acked all the same, and never again."""
    consumer, attempts = Consumer(Parcels), list[int]()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        attempts.append(ctx.attempt)
        raise OSError

    await pack(backbone, 1)
    await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, ack="always"))
    assert (attempts, await letters(backbone)) == ([1], [])
    assert counted.count("event_backbone.handled") == 0
    assert counted.count("event_backbone.retried") == 0


async def test_entry_of_another_writer(backbone: Backbone, redis_url: str, counted: CountedMetrics) -> None:
    """A dead letter: it is none of ours, or of a later wire format."""
    async with Redis.from_url(redis_url) as client:
        await client.xadd(STREAM.key, {"hello": "world"})
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "undecodable")


async def test_undecodable_event(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once: waiting does not make it fit."""
    await backbone.producer(OtherParcels, uri=URI).packed("one")
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "undecodable")


async def test_unknown_event(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once."""
    await backbone.producer(OtherParcels, uri=URI).burnt(1)
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "unknown-event")


async def test_unknown_version(backbone: Backbone, counted: CountedMetrics) -> None:
    """A dead letter at once, unless an upcaster leads from it."""
    await backbone.producer(OtherParcels, uri=URI).packed_2(1)
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "unknown-version")


async def test_payload_missing(backbone: Backbone, redis_url: str, counted: CountedMetrics) -> None:
    """A dead letter at once: it has expired or was deleted."""
    await pack(backbone, 1)
    async with Redis.from_url(redis_url) as client:
        keys = await client.keys(STREAM.key_of("payload:*"))
        assert await client.delete(*keys) == 1
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "payload-gone")


async def test_payload_forbidden(redis_url: str, counted: CountedMetrics) -> None:
    """Tried as often as a failing handler, since permissions fail for a while; then a dead letter."""
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
    """A dead letter at once."""
    key = await backbone.producer(Parcels, uri=URI).packed(1)
    await backbone.erase(URI, key)
    await handle_one(backbone, Remembering().consumer)
    await assert_dead(backbone, counted, "payload-erased")


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


async def test_consumer_crashes(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """Delivered again after the lease, as the next attempt."""
    await pack(backbone, 1)
    await crash(streams, 1)
    remembering = Remembering()
    lease = timedelta(milliseconds=200)
    await run_to_the_end(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP, max_events=1, lease=lease))
    assert remembering.attempts == [2]
    assert counted.count("event_backbone.redelivered", group=GROUP) == 1


async def test_event_crashes_every_consumer(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """It runs alone from its third delivery on, and is a dead letter after its last attempt."""
    await pack(backbone, 1)
    await crash(streams, 2)
    for member in ("alone-1", "alone-2", "alone-3"):
        (delivery,) = await crash_again(streams, member, 1)
        await streams.group_leases(STREAM, GROUP, member).mark_alone(Lease(delivery.entry.key, delivery.attempt))
    lease = timedelta(milliseconds=200)
    subscription = backbone.subscribe(
        Remembering().consumer, uri=URI, group=GROUP, max_events=1, lease=lease, retry=AT_ONCE
    )
    await run_to_the_end(subscription)
    await assert_dead(backbone, counted, "crashed")


async def test_lease_lost(backbone: Backbone, streams: Streams, counted: CountedMetrics) -> None:
    """The new holder decides; here the handlers are cancelled, and nothing is acked."""
    consumer, running, cancelled = Consumer(Parcels), asyncio.Event(), asyncio.Event()

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    await pack(backbone, 1)
    lease = timedelta(seconds=1)
    async with stopped_within(backbone.subscribe(consumer, uri=URI, group=GROUP, lease=lease)):
        await running.wait()
        await steal(streams)
        await cancelled.wait()
    (state,) = await backbone.groups(URI)
    assert state.pending == 1
    assert counted.count("event_backbone.lease_lost", group=GROUP) == 1


async def test_event_deleted_while_pending(
    backbone: Backbone, streams: Streams, redis_url: str, counted: CountedMetrics
) -> None:
    """Lost, which is counted; it stops being pending."""
    key = await backbone.producer(Parcels, uri=URI).packed(1)
    await crash(streams, 1)
    async with Redis.from_url(redis_url) as client:
        await client.xdel(STREAM.key, key.entry_id)
    lease = timedelta(milliseconds=200)
    async with stopped_within(backbone.subscribe(Remembering().consumer, uri=URI, group=GROUP, lease=lease)):
        await eventually(lambda: counted.count("event_backbone.vanished", group=GROUP) == 1)
    (state,) = await backbone.groups(URI)
    assert state.pending == 0


async def test_group_missing(backbone: Backbone, redis_url: str, counted: CountedMetrics) -> None:
    """Made anew, from the beginning."""
    remembering = Remembering()
    async with (
        Redis.from_url(redis_url) as client,
        stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP)),
    ):
        await remembering_one(backbone, remembering)
        await client.xgroup_destroy(STREAM.key, GROUP)
        await eventually(lambda: remembering.numbers == [1, 1])
    assert counted.count("event_backbone.group_recreated", group=GROUP) == 1


async def test_redis_down(own_redis: RedisServer, counted: CountedMetrics) -> None:
    """Waited for; the outage is counted once."""
    remembering = Remembering()
    async with Backbone(own_redis.url, environment="test") as backbone:
        async with stopped_within(backbone.subscribe(remembering.consumer, uri=URI, group=GROUP), 60):
            await remembering_one(backbone, remembering)
            own_redis.kill()
            await eventually(lambda: counted.count("event_backbone.outages", side="consumer") == 1)
            own_redis.start()
            await eventually(lambda: _produced(backbone))
            await eventually(lambda: 2 in remembering.numbers)
        assert counted.count("event_backbone.outages", side="consumer") == 1


async def remembering_one(backbone: Backbone, remembering: Remembering) -> None:
    """Produce one event and wait until it was handled."""
    await pack(backbone, 1)
    await eventually(lambda: remembering.numbers == [1])


async def _produced(backbone: Backbone) -> bool:
    await pack(backbone, 2)
    return True


def test_the_table_and_the_tests_say_the_same() -> None:
    """Every row names its test, and every test has its row."""
    rows = re.findall(r"^\|.*\| `(test_\w+)` \|$", TABLE.read_text(), re.MULTILINE)
    tests = [
        node.name
        for node in ast.parse(Path(__file__).read_text()).body
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert sorted(rows) == sorted(tests)
