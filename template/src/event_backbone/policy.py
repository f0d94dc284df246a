"""What happens to an event whose handling failed: again later, or to the dead letters. Pure decisions, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, cast

from event_backbone.backoff import Backoff
from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    DecodeError,
    PayloadErased,
    PayloadForbidden,
    PayloadGone,
    Reject,
    Retry,
    UnknownEvent,
    UnknownVersion,
)

AckPolicy = Literal["on-success", "manual", "always"]
"""When an event is acked: after its handlers succeeded, when one calls ``ctx.ack()``, or after they ended anyhow."""

# The most specific first: errors that waiting does not solve, and the reason that the dead letter carries.
_HOPELESS: tuple[tuple[type[BackboneError], str], ...] = (
    (UnknownEvent, "unknown-event"),
    (UnknownVersion, "unknown-version"),
    (DecodeError, "undecodable"),
    (PayloadErased, "payload-erased"),
    (PayloadGone, "payload-gone"),
)


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Deliver the event again no sooner than ``after`` from now.

    ``counts`` tells whether this was an attempt of the event's own. It was not when the storage or Redis was away.
    """

    after: timedelta
    counts: bool = True


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Move the event to the group's dead letters.

    ``reason`` is one of "rejected", "attempts-exhausted", "undecodable", "unknown-event", "unknown-version",
    "payload-gone", "payload-erased" and "crashed". ``detail`` is what may be told besides, and holds no payload: the
    text of a Reject or of this package's own error, else only the name of the error's type.
    """

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an event is tried, and how long it waits in between: a fixed time, or a ``Backoff``.

    Attempts that ended in a failure count, and ends of the process while the event ran alone; other crashes do not. By
    default an event is given up after 25 to 34 minutes, so that a failover of what its handler needs does not cost it.
    """

    max_attempts: int = 15
    backoff: timedelta | Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        """Refuse what cannot be counted or waited for."""
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts must be 1 or more, not {self.max_attempts}.")
        if isinstance(self.backoff, timedelta) and self.backoff < timedelta():
            raise ConfigurationError("backoff must not be negative.")

    def decide(self, attempt: int, error: BaseException, *, handling: bool = False) -> RetryLater | DeadLetter:
        """Decide what happens after attempt number ``attempt`` (from 1) failed with ``error``.

        ``handling`` tells that a handler raised it. The package's own errors then mean nothing special, since they may
        come from whatever the handler itself did; Retry and Reject always do, also within an ExceptionGroup. What S3
        forbids to read may be permitted again in a minute, so it is given up only after the last attempt.
        """
        error = _decisive(error)
        last = attempt >= self.max_attempts
        if isinstance(error, Reject):
            return DeadLetter("rejected", error.reason)
        if isinstance(error, BackboneError) and not handling:
            for kind, reason in _HOPELESS:
                if isinstance(error, kind) and (last or not isinstance(error, PayloadForbidden)):
                    return DeadLetter(reason, str(error))
            if error.retryable:
                return RetryLater(self.delay(attempt), counts=False)
        if last:
            return DeadLetter("attempts-exhausted", _type_name(error))
        if isinstance(error, Retry) and error.after is not None:
            return RetryLater(error.after)
        return RetryLater(self.delay(attempt))

    def crashed(self, failures: int, ends_alone: int) -> DeadLetter | None:
        """Decide before an event runs alone that has failed, and has ended its process alone, so often.

        Returns None while the event may be tried once more.
        """
        if ends_alone == 0 or failures + ends_alone < self.max_attempts:
            return None
        return DeadLetter("crashed", f"{ends_alone} deliveries ended their process while nothing else ran in it")

    def delay(self, attempt: int) -> timedelta:
        """Return how long the event waits after attempt number ``attempt``, which counts from 1."""
        return self.backoff if isinstance(self.backoff, timedelta) else self.backoff.delay(attempt)


def _decisive(error: BaseException) -> BaseException:
    """Return, of a group, the error that decides: a Reject, else a Retry, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    errors = [_decisive(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions]
    return min(errors, key=lambda each: (not isinstance(each, Reject), not isinstance(each, Retry)))


def _type_name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"
