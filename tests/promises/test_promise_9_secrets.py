"""Promise 9: no payload and no credential in errors and logs."""

import logging

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, run_to_the_end


async def test_promise_9_the_log_of_a_failure_holds_no_text_of_the_error(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """An error's text may quote the payload; the log shows only its type and where it was raised."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.sent)
    async def handle(ctx: Context, number: int, email: str) -> None:
        raise ValueError(email)

    await backbone.producer(Parcels, uri=URI).sent(1, "secret@example.org")
    retry = RetryPolicy(max_attempts=1)
    with caplog.at_level(logging.DEBUG, logger="event_backbone"):
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    assert "ValueError" in caplog.text
    assert "secret@example.org" not in caplog.text + letter.detail + letter.error
