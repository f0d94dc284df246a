"""What happens when an event cannot be folded, or a store fails: it is retried with backoff, and raised in the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from event_backbone import telemetry
from event_backbone.backoff import pause
from event_backbone.errors import ProjectionFailed
from event_backbone.model import EventKey, Metadata
from event_backbone.place import place_of, type_name
from event_backbone.policy import RetryLater, RetryPolicy
from event_backbone.projection.folding import EventFailed, StoreFailed
from event_backbone.projection.store import ProjectionKey

OnFailure = Callable[[Metadata, BaseException], None]
"""Is told of each failed attempt: which event, and what was raised. It must not raise."""

_log = logging.getLogger("event_backbone.projection")


class Failures:
    """Counts failed attempts, waits between them, and raises what cannot be retried any more.

    ``most`` is how many events may be folded at once: after a failure those before it, and then it alone.
    """

    def __init__(self, retry: RetryPolicy, key: ProjectionKey, wake: asyncio.Event) -> None:
        """Decide by ``retry``; a wait ends early when ``wake`` is set."""
        self._retry = retry
        self._key = key
        self._wake = wake
        self._failing: EventKey | None = None
        self._attempts = 0
        self._store_attempts = 0
        self.most: int | None = None
        self.on_failure: OnFailure | None = None

    def succeeded(self) -> None:
        """Note that something was folded."""
        self._failing, self._attempts, self._store_attempts, self.most = None, 0, 0, None

    def store_answered(self) -> None:
        """Note that the store was read; after a failure while it was written, that alone says little."""
        if self.most is None:
            self._store_attempts = 0

    async def event_failed(self, failed: EventFailed, rejected: set[EventKey]) -> bool:
        """Decide what is next after an event failed; return whether events have to be read again.

        One that a function rejects is added to ``rejected``.

        Raises ProjectionFailed if there is no other attempt.
        """
        event, error = failed.event, failed.error
        if self.on_failure is not None:
            self.on_failure(event.metadata, error)
        attempt = self._attempts + 1 if event.key == self._failing else 1
        decision = self._retry.decide(attempt, error, handling=failed.handling)
        if not isinstance(decision, RetryLater) and decision.reason == "rejected":
            rejected.add(event.key)
            text = "Event %s (%s) is not folded: a function of projection %r rejected it: %s"
            _log.warning(text, event.key, event.metadata.event, self._key.projection, decision.detail)
            return False
        if failed.place:
            self.most = failed.place
            return False
        self._failing, self._attempts, self.most = event.key, attempt, 1
        telemetry.fold_failed.add(
            1, {"uri": self._key.uri, "projection": self._key.projection, "event": event.metadata.event}
        )
        text = (
            f"Event {event.key} ({event.metadata.event}) of {self._key.uri} cannot be folded by projection"
            f" {self._key.projection!r}: attempt {attempt} failed with {_described(error, handling=failed.handling)}"
        )
        if not isinstance(decision, RetryLater):
            raise ProjectionFailed(text, str(event.key)) from None
        _log.warning("%s It will be retried in %.3g s.", text, decision.after.total_seconds())
        await self._pause(decision.after)
        return True

    async def store_failed(self, failed: StoreFailed) -> None:
        """Wait after a failure of the store; raise its error if there is no other attempt."""
        self._store_attempts += 1
        self.most = 1  # if an event is what the store cannot take, all those before it are folded
        error, key = failed.error, self._key
        if self._store_attempts >= self._retry.max_attempts:
            raise error
        delay = self._retry.delay(self._store_attempts)
        text = "The store of projection %r of %s failed on attempt %d with %s It will be retried in %.3g s."
        described = _described(error, handling=True)
        _log.warning(text, key.projection, key.uri, self._store_attempts, described, delay.total_seconds())
        await self._pause(delay)

    async def _pause(self, delay: timedelta) -> None:
        await pause(self._wake, delay)


def _described(error: BaseException, *, handling: bool) -> str:
    """Return what is known of an error without its message, which may quote a payload unless it is this package's."""
    if not handling:
        return f"{type_name(error)}: {error}"
    return f"{type_name(error)} at {' > '.join(place_of(error)) or 'an unknown place'}."
