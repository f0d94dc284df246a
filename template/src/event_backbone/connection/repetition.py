"""When a command is sent again: after a lost answer, a redirection, or a refusal that will pass."""

from __future__ import annotations

from datetime import timedelta

from redis.exceptions import AuthenticationError, ClusterDownError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from event_backbone.backoff import Backoff, Delays
from event_backbone.connection.errors import Unreachable

NO_AGREEMENT = "its nodes do not agree on which of them has the slot"
_MOST_REDIRECTIONS = 16
_MOST_REFUSALS = 6  # about a second
_AFTER_LOSS = Backoff(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=300))
_AFTER_REFUSAL = Backoff(first=timedelta(milliseconds=25), longest=timedelta(milliseconds=400))


class Repetition:
    """Counts how often one command has been sent."""

    def __init__(self, most_repeats: int) -> None:
        """Allow so many repeats of what may have been carried out."""
        self._repeats_left = most_repeats
        self._redirections_left = _MOST_REDIRECTIONS
        self._after_loss = Delays(_AFTER_LOSS)
        self._after_refusal = Delays(_AFTER_REFUSAL)

    async def after(self, error: RedisError, *, redirected: bool) -> None:
        """Return when the command may be sent again; raise the error when it may not."""
        if redirected:
            self._redirections_left -= 1
            if self._redirections_left < 0:
                raise Unreachable(NO_AGREEMENT) from error
        elif isinstance(error, TryAgainError | ClusterDownError):
            if self._after_refusal.failures >= _MOST_REFUSALS:
                raise error
            await self._after_refusal.wait()
        elif was_lost(error) and self._repeats_left > 0:
            self._repeats_left -= 1
            await self._after_loss.wait()
        else:
            raise error


def was_lost(error: RedisError) -> bool:
    """Return whether the connection failed, or no answer came in time."""
    return isinstance(error, RedisConnectionError | RedisTimeoutError) and not isinstance(error, AuthenticationError)
