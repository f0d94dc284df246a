"""How a forwarder reads and how fast it forwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey
from event_backbone.reader import key_at

ForwardStart = EventKey | datetime | Literal["now"] | None
"""Where a new link begins: a key or an aware time is inclusive, None is the beginning."""

_LOWEST_RATE = 0.001
_HIGHEST_RATE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardOptions:
    """How a forwarder reads and how fast it forwards.

    Attributes:
        start: where a new link begins; it has no effect on one that has forwarded before.
        end: where it ends (exclusive); only without ``follow``.
        follow: go on with new events, or end with the newest one of the start.
        rate: at most how many events a second, 0.001 to 1,000,000; None is as many as possible.
        copy_payloads: copy payloads that the target could read where they are.
    """

    start: ForwardStart = None
    end: EventKey | datetime | None = None
    follow: bool = True
    rate: float | None = None
    copy_payloads: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.follow and self.end is not None:
            raise ConfigurationError("Give either follow=True or an end, not both.")
        if self.rate is not None and not _LOWEST_RATE <= self.rate <= _HIGHEST_RATE:
            raise ConfigurationError(f"rate must be from {_LOWEST_RATE} to {_HIGHEST_RATE}, or None, not {self.rate}.")
        for bound in (self.start, self.end):
            if isinstance(bound, datetime):
                key_at(bound)  # refuses a time without a zone
