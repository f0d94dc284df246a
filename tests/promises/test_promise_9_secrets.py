"""Promise 9: no payload and no credential in errors and logs."""

import logging

import pytest

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.parcels import GROUP, URI, Parcels, run_to_the_end
from tests.support.spans import CollectedSpans

SECRET = "secret@example.org"
HERE = "tests/promises/test_promise_9_secrets.py"


def look_up(email: str) -> None:
    """Fail with a text, a cause and a local variable that quote the payload."""
    customers: dict[str, int] = {}
    try:
        customers[email] += 1
    except KeyError as error:
        raise ValueError(f"no customer {email}") from error


async def test_promise_9_a_failure_shows_its_types_and_places_and_no_text_of_the_error(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, the dead letter and the span, also of causes and of several handlers: frames, no values."""
    consumer, spans = Consumer(Parcels), CollectedSpans()

    @consumer.on(Parcels.sent)
    async def handle(ctx: Context, number: int, email: str) -> None:
        look_up(email)

    @consumer.on(Parcels.sent)
    async def notify(ctx: Context, number: int, email: str) -> None:
        raise OSError(email)

    await backbone.producer(Parcels, uri=URI).sent(1, SECRET)
    retry = RetryPolicy(max_attempts=1)
    with caplog.at_level(logging.DEBUG, logger="event_backbone"):
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1, retry=retry))
    (letter,) = [each async for each in backbone.dead_letters(URI, GROUP).list()]
    (span,) = spans.named("handle sent")
    stack = str((span.events[0].attributes or {})["exception.stacktrace"])
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert (letter.error, letter.detail) == ("ValueError", "")
    for text in (record.getMessage(), "\n".join(letter.place), stack):
        for words in ("1 of 2: ValueError", "caused by KeyError", "2 of 2: OSError", " in look_up", " in notify"):
            assert words in text
        assert f"{HERE}:{look_up.__code__.co_firstlineno + 6} in look_up" in text
    assert SECRET not in caplog.text + str(letter) + str(span.to_json())


async def test_promise_9_what_ends_a_subscription_is_logged_without_its_text(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler may raise what ends the process, and its text may quote the payload as well."""

    class Fatal(BaseException):
        """Ends the process."""

    consumer = Consumer(Parcels)

    @consumer.on(Parcels.sent)
    async def handle(ctx: Context, number: int, email: str) -> None:
        raise Fatal(email)

    await backbone.producer(Parcels, uri=URI).sent(1, SECRET)
    with pytest.raises(Fatal):
        await run_to_the_end(backbone.subscribe(consumer, uri=URI, group=GROUP, max_events=1))
    assert "Fatal: raised at tests/promises/test_promise_9_secrets.py:" in caplog.text
    assert SECRET not in caplog.text
