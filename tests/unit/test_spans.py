"""Spans: one trace for a flow of events, calls to storages among them, silent about payloads, free without an SDK."""

from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from event_backbone import spans
from event_backbone.backbone import Backbone
from event_backbone.consumer import Batch, Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.errors import ConfigurationError, StorageUnavailable
from event_backbone.model import EventKey
from event_backbone.policy import RetryPolicy
from event_backbone.storage import CachedStorage, RedisHashStorage, S3Storage
from event_backbone.subscription import SubscriptionOptions
from event_backbone.testing.memory import memory_backbone
from tests.support.parcels import run_to_the_end
from tests.support.processes import printed_by
from tests.support.repository import ROOT
from tests.support.spans import CollectedSpans, id_of, parent_of, stop_tracing, trace_of

URI = "flow"
_REFERENCE = (ROOT / "docs" / "reference" / "metrics.md").read_text()

# Prints the microseconds of the processor that one use costs in a process where no SDK is set up.
COST = """
import timeit
from time import process_time
from event_backbone import telemetry
from event_backbone.model import EventKey
from event_backbone.spans import ProduceSpans, storage_call

spans, key = ProduceSpans("shipments"), EventKey(1)

def produce():
    with spans.producing("note") as span:
        span.identify("id", None)
        span.appended(key)

def save():
    with storage_call("s3", "save"):
        pass

def count():
    telemetry.produced.add(1, {"uri": "shipments", "event": "note"})

for use in (produce, save, count):
    print(min(timeit.repeat(use, timer=process_time, number=2000, repeat=25)) / 2000 * 1e6)
"""


class Flow(Contract):
    """Three events, each of which leads to the next."""

    @event
    def first(self, text: str) -> None:
        """It begins."""

    @event
    def second(self, text: str) -> None:
        """It goes on."""

    @event
    def third(self, text: str) -> None:
        """It ends."""


def _handlers(flow: Flow) -> Consumer[Flow]:
    consumer = Consumer(Flow)

    @consumer.on(Flow.first)
    async def first(ctx: Context, text: str) -> None:
        await flow.second(text)

    @consumer.on(Flow.second)
    async def second(ctx: Context, text: str) -> None:
        await flow.third(text)

    @consumer.on(Flow.third)
    async def third(ctx: Context, text: str) -> None:
        pass

    return consumer


async def _run(backbone: Backbone, tracing: spans.Tracing = "parent") -> EventKey:
    """Produce the first event within the span of a request, handle all three, and return the first one's key."""
    flow = backbone.producer(Flow, uri=URI)
    with trace.get_tracer("application").start_as_current_span("request"):
        key = await flow.first("a secret")
    await run_to_the_end(backbone.subscribe(_handlers(flow), uri=URI, group="g", max_events=3, tracing=tracing))
    return key


async def test_a_flow_of_three_events_is_one_trace() -> None:
    """From the request that began it: each event is handled within the span that produced it."""
    collected = CollectedSpans()
    async with memory_backbone() as backbone:
        await _run(backbone)
    names = ["request", *(f"{does} {name}" for name in ("first", "second", "third") for does in ("produce", "handle"))]
    chain = [collected.one(name) for name in names]
    assert [parent_of(span) for span in chain] == [None, *map(id_of, chain[:-1])]
    assert {trace_of(span) for span in collected.all()} == {trace_of(chain[0])}
    for name in ("save memory", "load memory"):
        assert [parent_of(span) for span in collected.named(name)] == [id_of(span) for span in chain[1::2]]


async def test_linked_traces_begin_at_every_attempt() -> None:
    """For flows without an end: a trace for each event, with a link to the span that produced it."""
    collected = CollectedSpans()
    async with memory_backbone() as backbone:
        await _run(backbone, "link")
    produced = [collected.one(f"produce {name}") for name in ("first", "second", "third")]
    handled = [collected.one(f"handle {name}") for name in ("first", "second", "third")]
    assert [parent_of(span) for span in handled] == [None, None, None]
    assert [[link.context.span_id for link in span.links] for span in handled] == [[id_of(span)] for span in produced]
    assert len({trace_of(span) for span in (*handled, produced[0])}) == 4
    with pytest.raises(ConfigurationError, match="tracing must be parent or link, not 'both'"):
        SubscriptionOptions(tracing="both")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_span_says_which_event_it_is_about_and_nothing_of_its_payload() -> None:
    """By OpenTelemetry's names for messaging, and by ours where it has none."""
    collected = CollectedSpans()
    async with memory_backbone(environment="dev") as backbone:
        key = await _run(backbone)
        first = (await backbone.reader(URI).get(key)).metadata
    produced, handled = collected.one("produce first"), collected.one("handle first")
    both = {
        "messaging.system": "redis",
        "messaging.destination.name": "dev:flow",
        "messaging.message.id": str(first.event_id),
        "messaging.message.conversation_id": str(first.event_id),
        "event_backbone.event": "first",
        "event_backbone.key": str(key),
    }
    assert produced.kind is SpanKind.PRODUCER
    assert produced.attributes == both | {"messaging.operation.name": "produce", "messaging.operation.type": "send"}
    assert handled.kind is SpanKind.CONSUMER
    assert handled.attributes == both | {
        "messaging.operation.name": "handle",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "g",
        "event_backbone.attempt": 1,
    }
    third = collected.one("handle third").attributes or {}
    assert third["messaging.message.conversation_id"] == str(first.event_id)
    assert all("secret" not in str(span.to_json()) for span in collected.all())
    names = {name for span in collected.all() for name in span.attributes or {}}
    assert [name for name in names if f"| `{name}` |" not in _REFERENCE] == []


async def test_each_attempt_is_a_span_and_says_which() -> None:
    """A failed one has the type of its error: an error's text may quote the payload (promise 9)."""
    collected = CollectedSpans()
    consumer = Consumer(Flow)

    @consumer.on(Flow.third)
    async def handle(ctx: Context, text: str) -> None:
        if ctx.attempt == 1:
            raise ValueError(text)

    async with memory_backbone() as backbone:
        await backbone.producer(Flow, uri=URI).third("a secret")
        retry = RetryPolicy(backoff=timedelta(milliseconds=1))
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group="g", max_events=1, retry=retry))
    failed, succeeded = collected.named("handle third")
    assert [(span.attributes or {})["event_backbone.attempt"] for span in (failed, succeeded)] == [1, 2]
    assert parent_of(failed) == parent_of(succeeded) == id_of(collected.one("produce third"))
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "ValueError")
    assert "secret" not in str(failed.to_json())


async def test_a_storage_call_for_many_events_is_linked_to_all_of_them() -> None:
    """A span has one parent, so the call begins a separate trace."""
    collected = CollectedSpans()
    async with memory_backbone() as backbone:
        flow = backbone.producer(Flow, uri=URI)
        for number in range(3):
            await flow.third(str(number))
        await run_to_the_end(backbone.subscribe(_handlers(flow), uri=URI, group="g", max_events=3))
    loaded = collected.one("load memory")
    assert parent_of(loaded) is None
    assert [link.context.span_id for link in loaded.links] == [id_of(each) for each in collected.named("produce third")]
    assert (loaded.attributes or {})["event_backbone.payloads"] == 3


@pytest.mark.usefixtures("s3_environment")
async def test_calls_to_s3_and_to_its_cache_are_spans(redis_url: str) -> None:
    """The cache's within the whole call."""
    collected = CollectedSpans()
    storage = CachedStorage(S3Storage(), RedisHashStorage(redis=redis_url))
    async with Backbone(redis_url, storage=storage, environment="test") as backbone:
        await _run(backbone)
        produced, (first, *_) = collected.one("produce first"), collected.named("load s3")
        assert [parent_of(span) for span in (first, *collected.named("save s3"))][:2] == [id_of(produced)] * 2
        assert first.kind is SpanKind.CLIENT
        assert id_of(first) in {parent_of(span) for span in collected.named("load redis-hash")}
        assert first.status.status_code is StatusCode.UNSET


async def test_what_a_storage_did_not_load_is_said(redis_url: str) -> None:
    """Errors of a load are not raised within the call, as each event has its own."""
    collected = CollectedSpans()
    there = RedisHashStorage(redis=redis_url, name="elsewhere")
    async with Backbone(redis_url, storage=there, environment="test") as backbone:
        key = await backbone.producer(Flow, uri=URI).third("x")
    away = RedisHashStorage(redis="127.0.0.1:1", name="elsewhere")
    async with Backbone(redis_url, storage=away, environment="test") as backbone:
        with pytest.raises(StorageUnavailable, match="connection refused"):
            await backbone.reader(URI).get(key)
    loaded = collected.one("load elsewhere")
    assert (loaded.status.status_code, loaded.status.description) == (
        StatusCode.ERROR,
        "event_backbone.errors.StorageUnavailable",
    )


async def test_nothing_is_sent_along_when_nobody_traces() -> None:
    """Not even after a test that did: the headers of an event are then empty."""
    CollectedSpans()
    async with memory_backbone() as backbone:
        flow = backbone.producer(Flow, uri=URI)
        assert (await backbone.reader(URI).get(await flow.first("x"))).metadata.headers
        stop_tracing()
        assert not (await backbone.reader(URI).get(await flow.first("x"))).metadata.headers
    assert not spans.tracing()


def test_without_an_sdk_telemetry_costs_next_to_nothing() -> None:
    """About 2 microseconds a use on a quiet machine; a tenfold margin is left for a busy one."""
    costs = [float(line) for line in printed_by(COST).split()]
    assert len(costs) == 3
    assert max(costs) < 20


def test_the_reference_lists_every_span() -> None:
    """With its name, kind and meaning."""
    assert all(description in _REFERENCE for description in spans.SPANS.values())


@pytest.mark.parametrize("replayed", [False, True])
async def test_a_batch_has_a_span_that_is_linked_to_those_of_its_events(*, replayed: bool) -> None:
    """Each of which is in the trace of its producer, or begins one in a replay; the block of ``handling`` is in it."""
    collected, consumer = CollectedSpans(), Consumer(Flow)

    async with memory_backbone() as backbone:
        producer = backbone.producer(Flow, uri=URI)

        @consumer.on_batch(Flow.first, most=2)
        async def first(batch: Batch[[str]]) -> None:
            for each in batch:
                with each.handling():
                    await producer.second("text")

        await producer.first("one")
        await producer.first("two")
        if replayed:
            await backbone.replay(consumer, URI, end=(await producer.first("three")))
        else:
            await run_to_the_end(backbone.subscribe(consumer, uri=URI, group="group", max_events=2))
    events, call = collected.named("handle first"), collected.one("handle batch first")
    assert sorted(each.context.span_id for each in call.links) == sorted(id_of(each) for each in events)
    assert parent_of(call) is None
    produced = {id_of(each) for each in collected.named("produce first")[:2]}
    assert {parent_of(each) for each in events} == ({None} if replayed else produced)
    assert {parent_of(each) for each in collected.named("produce second")} == {id_of(each) for each in events}
