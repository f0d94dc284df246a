"""Where a forwarded event comes from: the streams that it was in before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from event_backbone.errors import ConfigurationError
from event_backbone.model.event_key import EventKey

OriginFilter = Literal["any", "produced", "forwarded"]
"""Which events are wanted: all, those that were produced to the stream itself, or those that were forwarded to it."""


class Hop(NamedTuple):
    """One stream that an event was in before it was forwarded.

    Attributes:
        stream: the identity of the stream: ``<environment>:<uri>``, preceded by ``<site>//`` if it is at a site.
        key: the event's key there.
        link: the name of the link that forwarded it from there.
    """

    stream: str
    key: EventKey
    link: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a forwarded event comes from.

    ``hops`` are the streams that it was in before, first to last: it was produced to the first one, and forwarded to
    this stream from the last one. There is at least one.
    """

    hops: tuple[Hop, ...]

    @property
    def first(self) -> Hop:
        """The stream that the event was produced to."""
        return self.hops[0]

    @property
    def last(self) -> Hop:
        """The stream that the event was forwarded from."""
        return self.hops[-1]

    def as_json(self) -> list[dict[str, str]]:
        """Return the hops as a JSON document."""
        return [{"stream": each.stream, "key": str(each.key), "link": each.link} for each in self.hops]

    def passed(self, stream: str) -> bool:
        """Return whether the event was in the stream of this identity."""
        return any(each.stream == stream for each in self.hops)


def is_of_origin(origin: Origin | None, wanted: OriginFilter) -> bool:
    """Return whether an event with this origin is wanted."""
    return wanted == "any" or (origin is not None) == (wanted == "forwarded")


def check_origin(wanted: str) -> None:
    """Raise ConfigurationError for a value that is not an ``OriginFilter``."""
    if wanted not in get_args(OriginFilter):
        raise ConfigurationError(f"origin must be any, produced or forwarded, not {wanted[:60]!r}.")
