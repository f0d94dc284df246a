"""What happens to an event after a failure: a retry later, or the dead letters. Pure decisions, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, cast

from event_backbone.backoff import Backoff
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    DecodeError,
    PayloadForbidden,
    PayloadGone,
    Reject,
    Retry,
    UnknownEvent,
    UnknownVersion,
)
from event_backbone.model import NewDeadLetter
from event_backbone.place import type_name

AckPolicy = Literal["on-success", "manual", "always"]
"""When an event is acked: once its handlers succeed, when one calls ``ctx.ack()``, or once they end, failed or not."""

UnknownPolicy = Literal["skip", "dead-letter"]
"""What happens to an event whose name the contract does not have."""

# Errors that a retry cannot solve, the most specific first, with the reason for the dead letter.
_PERMANENT: tuple[tuple[type[BackboneError], str], ...] = (
    (UnknownEvent, "unknown-event"),
    (UnknownVersion, "unknown-version"),
    (DecodeError, "undecodable"),
    (PayloadGone, "payload-gone"),
)


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Deliver the event again, no sooner than ``after`` from now.

    ``counts`` says whether the attempt counts. It does not if the storage or Redis was unavailable, or if the handlers
    returned without the manual ack. Of one that counts, ``error`` is the name of the error's type and ``place`` where
    it was raised.
    """

    after: timedelta
    counts: bool = True
    error: str = field(default="", compare=False)
    place: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an event is attempted, and how long it waits in between: a fixed time or a ``Backoff``.

    ```python
    retry = RetryPolicy(max_attempts=5, backoff=timedelta(seconds=10))
    async with backbone.subscribe(consumer, uri="shipments", group="mailer", retry=retry) as subscription:
        await subscription.wait()
    ```

    Attempts that end in a failure count, and so do crashes of the process while the event runs alone; other crashes do
    not. By default an event is retried for 25 to 34 minutes, so that it survives a failover of what its handler needs.
    """

    max_attempts: int = 15
    backoff: timedelta | Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts must be 1 or more, not {self.max_attempts}.")
        if isinstance(self.backoff, timedelta) and self.backoff < timedelta():
            raise ConfigurationError("backoff must not be negative.")

    def decide(self, attempt: int, error: BaseException, *, handling: bool = False) -> RetryLater | NewDeadLetter:
        """Decide what happens after attempt number ``attempt`` (from 1) failed with ``error``.

        ``handling`` says that a handler raised it. Errors of this package then get no special treatment, since they may
        come from whatever the handler itself did; Retry and Reject always do, also within an ExceptionGroup. A payload
        that S3 refuses to hand out is retried until the last attempt, as permissions may be corrected meanwhile.
        """
        error = _decisive(error)
        error_name = type_name(error)
        last = attempt >= self.max_attempts
        if isinstance(error, Reject):
            return NewDeadLetter("rejected", error.reason, error_name)
        if isinstance(error, BackboneError) and not handling:
            for kind, reason in _PERMANENT:
                if isinstance(error, kind) and (last or not isinstance(error, PayloadForbidden)):
                    return NewDeadLetter(reason, str(error), error_name)
            if error.retryable:
                return RetryLater(self.delay(attempt), counts=False)
        if last:
            return NewDeadLetter("attempts-exhausted", "", error_name)
        if isinstance(error, Retry) and error.after is not None:
            return RetryLater(error.after)
        return RetryLater(self.delay(attempt))

    def crashed(self, failures: int, ends_alone: int) -> NewDeadLetter | None:
        """Decide before an event runs alone that has failed ``failures`` times and crashed alone ``ends_alone`` times.

        Returns None if the event may run once more.
        """
        if ends_alone == 0 or failures + ends_alone < self.max_attempts:
            return None
        return NewDeadLetter("crashed", f"deliveries that crashed while running alone: {ends_alone}", "")

    def delay(self, attempt: int) -> timedelta:
        """Return how long the event waits after attempt number ``attempt`` (from 1)."""
        return self.backoff if isinstance(self.backoff, timedelta) else self.backoff.delay(attempt)


def _decisive(error: BaseException) -> BaseException:
    """Return the error of a group that decides: a Reject, else a Retry, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    errors = [_decisive(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions]
    return min(errors, key=lambda each: (not isinstance(each, Reject), not isinstance(each, Retry)))
