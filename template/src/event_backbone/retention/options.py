"""``Retention``: how long events stay in Redis."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from event_backbone.errors import ConfigurationError

_SHORTEST_SILENCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long events stay in Redis. What the archive has of them stays there.

    An event leaves the stream, with its payload in Redis, when it is older than ``max_age``. It stays for as long as a
    living group has not finished it, it is a dead letter, or it is not archived yet although the stream has an archive.

    Attributes:
        max_age: how old events may become, by the time at which they were appended; None is no limit.
        max_bytes: how much of Redis' memory the stream and the payloads beside it may take; None is no limit. The
            oldest events go first, whatever their age: those that nobody needs, and if that is not enough also those
            that groups have not finished, and dead letters. What was cut from a group is counted, logged and shown by
            `doctor`. It is never what is not archived yet, or what a running consumer has in flight. Copies in a cache
            and payloads that expire do not count.
        forget_groups_after: a group without a running consumer for so long no longer keeps events from being removed;
            None is never. If it returns, it goes on at the beginning of the stream, and is told what it has missed.
        dead_letters_for: how long dead letters are kept; then they are removed, and no longer keep their events; None
            is forever.

    Raises:
        ConfigurationError: a limit is not positive, or there is neither ``max_age`` nor ``max_bytes``.
    """

    max_age: timedelta | None = None
    max_bytes: int | None = None
    forget_groups_after: timedelta | None = timedelta(days=7)
    dead_letters_for: timedelta | None = timedelta(days=30)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.max_age is None and self.max_bytes is None:
            raise ConfigurationError("Retention needs max_age or max_bytes; leave retention out to keep everything.")
        for name in ("max_age", "forget_groups_after", "dead_letters_for"):
            limit: timedelta | None = getattr(self, name)
            if limit is not None and limit <= timedelta(0):
                raise ConfigurationError(f"{name} of Retention must be positive; None is no limit.")
        if self.forget_groups_after is not None and self.forget_groups_after < _SHORTEST_SILENCE:
            raise ConfigurationError(
                "forget_groups_after of Retention must be at least a minute: that long a busy consumer may be silent."
            )
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ConfigurationError("max_bytes of Retention must be 1 or more; None is no limit.")
