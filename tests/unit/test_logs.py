"""Log records say which event is being handled, for whatever formats them."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from opentelemetry import trace

from event_backbone import Consumer, Context, EventLogFilter, Reject
from event_backbone.testing import context
from tests.support.spans import CollectedSpans
from tests.unit.test_handling import PACKING, Ship, deliver, handling, no_ack

FIELDS = ("event", "key", "attempt", "correlation_id", "trace_id")


class Kept(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What is logged, through the filter."""
    caplog.set_level(logging.INFO)
    kept = Kept()
    kept.addFilter(EventLogFilter())
    logging.getLogger().addHandler(kept)
    yield kept.records
    logging.getLogger().removeHandler(kept)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what the filter has added."""
    return {name: value for name, value in vars(record).items() if name in FIELDS}


async def test_each_record_of_an_event_has_it_and_the_others_do_not(records: list[logging.LogRecord]) -> None:
    """A handler's own, what is decided about it, within its span; what a record has already stays."""
    CollectedSpans()
    consumer = Consumer(Ship)
    to = handling(consumer)

    @consumer.on(Ship.packing)
    async def handle(ctx: Context, email: str, product_id: int = 3) -> None:
        logging.getLogger("mine").info("packing", extra={"key": "my own"})
        raise Reject("no")

    logging.getLogger("mine").info("before")
    to.begin_batch()
    await asyncio.create_task(deliver(to, PACKING, attempt=3))  # its context() is for that task alone
    with trace.get_tracer("mine").start_as_current_span("request") as span:
        logging.getLogger("mine").info("after")
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    before, mine, decided, after = map(fields_of, records)
    assert (before, after) == ({}, {"trace_id": trace_id})
    assert set(decided) == set(FIELDS)
    assert (decided["event"], decided["attempt"]) == ("packing", 3)
    assert mine == decided | {"key": "my own"}


async def test_what_is_decided_elsewhere_has_its_event_too(records: list[logging.LogRecord]) -> None:
    """A payload that cannot be decoded, and a handler that was cancelled, whose task has ended by then."""

    async def begun() -> Context:
        return context(event="packing", attempt=2)  # the event of that task alone

    to, ctx = handling(Consumer(Ship)), await asyncio.create_task(begun())
    await asyncio.create_task(deliver(to, {"email": b"12"}, attempt=2))
    to.failed(to.context_of(ctx.metadata, ctx.metadata.key, 2, no_ack, None), 1, TimeoutError())
    undecodable, cancelled = map(fields_of, records)
    assert undecodable["event"] == cancelled["event"] == "packing"
    assert (cancelled["key"], cancelled["attempt"]) == (str(ctx.metadata.key), 2)
