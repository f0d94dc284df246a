"""What happens to an event after its handling failed."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from event_backbone.backoff import Backoff
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    DecodeError,
    EntryUnreadable,
    PayloadForbidden,
    PayloadGone,
    Reject,
    Retry,
    StorageError,
    StorageUnavailable,
    StreamUnavailable,
    UnknownEvent,
    UnknownVersion,
)
from event_backbone.model import NewDeadLetter
from event_backbone.place import type_name
from event_backbone.policy import RetryLater, RetryPolicy

SECOND = timedelta(seconds=1)
STEADY = RetryPolicy(max_attempts=3, backoff=SECOND)


def test_by_default_an_event_is_tried_for_more_than_twenty_minutes() -> None:
    """Fifteen times, so that a failover of what its handler needs costs no event, whatever the jitter takes off."""
    for share in (0.0, 1.0):
        policy = RetryPolicy(backoff=Backoff(random=partial(float, share)))
        decisions = [policy.decide(attempt, ValueError()) for attempt in range(1, 16)]
        waited = sum((each.after for each in decisions if isinstance(each, RetryLater)), timedelta())
        assert decisions[-1] == NewDeadLetter("attempts-exhausted", "", "ValueError")
        assert timedelta(minutes=20) <= waited <= timedelta(minutes=40)


def test_a_fixed_backoff_is_kept_to() -> None:
    """A timedelta is the same delay each time."""
    assert STEADY.decide(1, ValueError()) == RetryLater(SECOND)
    assert STEADY.decide(2, ValueError()) == RetryLater(SECOND)


def test_a_handler_may_choose_the_delay() -> None:
    """Retry(after) is used as it is; without a time, the policy's delay is used."""
    assert STEADY.decide(1, Retry(timedelta(hours=1)), handling=True) == RetryLater(timedelta(hours=1))
    assert STEADY.decide(1, Retry(), handling=True) == RetryLater(SECOND)


def test_a_retry_counts_as_an_attempt() -> None:
    """After max_attempts the event goes to the dead letters also when the handler asks for more."""
    assert STEADY.decide(3, Retry(SECOND), handling=True) == NewDeadLetter(
        "attempts-exhausted", "", "event_backbone.errors.Retry"
    )


@pytest.mark.parametrize("handling", [True, False])
def test_a_reject_is_final_at_once(handling: bool) -> None:
    """Its reason becomes the detail of the dead letter."""
    expected = NewDeadLetter("rejected", "unknown shop", "event_backbone.errors.Reject")
    assert STEADY.decide(1, Reject("unknown shop"), handling=handling) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnknownEvent("Event 'x' is unknown."), "unknown-event"),
        (UnknownVersion("Version 9 is unknown."), "unknown-version"),
        (DecodeError("Argument 'a' is missing."), "undecodable"),
        (EntryUnreadable("Not ours."), "undecodable"),
        (PayloadGone("Gone."), "payload-gone"),
    ],
)
def test_what_waiting_does_not_solve_is_final_at_once(error: BackboneError, reason: str) -> None:
    """An event that cannot be loaded or decoded goes to the dead letters on its first delivery, with our own text."""
    assert STEADY.decide(1, error) == NewDeadLetter(reason, str(error), type_name(error))


def test_a_forbidden_payload_is_tried_as_often_as_a_failing_handler() -> None:
    """Permissions may be corrected; after the last attempt it counts as gone, with our own error text."""
    error = PayloadForbidden("Missing or forbidden.")
    assert [STEADY.decide(attempt, error) for attempt in (1, 2)] == [RetryLater(SECOND)] * 2
    assert STEADY.decide(3, error) == NewDeadLetter(
        "payload-gone", str(error), "event_backbone.errors.PayloadForbidden"
    )


@pytest.mark.parametrize("error", [StorageUnavailable("away"), StreamUnavailable("away")])
def test_an_outage_uses_up_no_attempt(error: BackboneError) -> None:
    """While storage or Redis is away the event waits, however often it was tried."""
    assert STEADY.decide(1, error) == RetryLater(SECOND, counts=False)
    assert STEADY.decide(99, error) == RetryLater(SECOND, counts=False)


@pytest.mark.parametrize("error", [StorageError("refused"), ConfigurationError("no such storage")])
def test_other_errors_of_loading_are_tried_again(error: BackboneError) -> None:
    """They count, so they end."""
    assert STEADY.decide(1, error) == RetryLater(SECOND)
    assert isinstance(STEADY.decide(3, error), NewDeadLetter)


@pytest.mark.parametrize("error", [StorageUnavailable("away"), DecodeError("x"), PayloadGone("x"), UnknownEvent("x")])
def test_a_handlers_own_trouble_counts(error: BackboneError) -> None:
    """The package's errors from a handler come from what it did itself, and are decided like any other error."""
    assert STEADY.decide(1, error, handling=True) == RetryLater(SECOND)
    final = STEADY.decide(3, error, handling=True)
    assert final == NewDeadLetter("attempts-exhausted", "", f"event_backbone.errors.{type(error).__name__}")


def test_a_handlers_error_text_is_not_repeated() -> None:
    """The text of a foreign error may contain personal data, so only its type is kept."""
    decision = STEADY.decide(3, LookupError("hunter2"), handling=True)
    assert decision == NewDeadLetter("attempts-exhausted", "", "LookupError")


def test_a_group_of_errors_is_decided_by_the_gravest() -> None:
    """A Reject or Retry also counts when it comes out of a task group."""
    group = ExceptionGroup("tasks", [ValueError(), ExceptionGroup("inner", [Retry(SECOND * 9), Reject("no")])])
    assert STEADY.decide(1, group, handling=True) == NewDeadLetter("rejected", "no", "event_backbone.errors.Reject")
    assert STEADY.decide(1, ExceptionGroup("t", [ValueError(), Retry(SECOND * 9)])) == RetryLater(SECOND * 9)
    assert STEADY.decide(3, BaseExceptionGroup("t", [asyncio.CancelledError()])) == NewDeadLetter(
        "attempts-exhausted", "", "asyncio.exceptions.CancelledError"
    )


@pytest.mark.parametrize(
    ("failures", "ends_alone", "crashed"), [(0, 2, False), (0, 3, True), (2, 1, True), (1, 1, False), (9, 0, False)]
)
def test_ends_of_the_process_count_only_while_an_event_ran_alone(failures: int, ends_alone: int, crashed: bool) -> None:
    """With the recorded failures they make max_attempts; without an end alone, the event may not be to blame."""
    decision = STEADY.crashed(failures, ends_alone)
    assert (decision is not None and decision.reason == "crashed") is crashed


def test_a_policy_that_cannot_work_is_refused() -> None:
    """With a sentence that says what would."""
    with pytest.raises(ConfigurationError, match="max_attempts must be 1 or more, not 0"):
        RetryPolicy(max_attempts=0)
    with pytest.raises(ConfigurationError, match="backoff must not be negative"):
        RetryPolicy(backoff=-SECOND)
