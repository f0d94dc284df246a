"""A link: from which stream to which one, under which name, and which events."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import to_json

from event_backbone.contract import EventOf
from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey, Hop, OriginFilter, StreamName, check_origin
from event_backbone.wire.origin import ORIGIN_MEMBER, WrittenHop, write_hop

_LONGEST_NAME = 200

Skipped = Literal["event", "origin", "loop", "known", "erased", "gone", "unreadable"]
"""Why an event is not forwarded."""


def identity_of(stream: StreamName, site: str) -> str:
    """Return what tells a stream apart from all others that events may be forwarded to and from."""
    return f"{site}//{stream.key}" if site else stream.key


@dataclass(frozen=True, slots=True)
class Link:
    """Forwards events of the stream ``source`` to the stream ``target``; both are identities.

    Attributes:
        name: what tells links into one stream apart.
        source: where the events come from.
        target: where they go.
        events: the names of the events that are forwarded; None is all.
        origin: which of them, by whether they were produced to the source itself.
        forwards: the same as JSON: what is kept with the checkpoint.
    """

    name: str
    source: str
    target: str
    events: frozenset[str] | None
    origin: OriginFilter
    forwards: str = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        check_origin(self.origin)
        if self.source == self.target:
            raise ConfigurationError(
                f"Source and target are both {self.source!r}: give another URI or environment, or tell two Redis with "
                "the same names apart by Backbone(site=...), on the command line --to-site."
            )
        if not 1 <= len(self.name) <= _LONGEST_NAME or not self.name.isprintable():
            raise ConfigurationError(f"The name of a link must have 1 to {_LONGEST_NAME} printable characters.")
        events = None if self.events is None else sorted(self.events)
        document = {"source": self.source, "events": events, "origin": self.origin}
        object.__setattr__(self, "forwards", to_json(document).decode())

    @classmethod
    def of(
        cls,
        source: str,
        target: str,
        *,
        name: str | None,
        events: Collection[EventOf[Any, ...]] | None,
        origin: OriginFilter,
    ) -> Link:
        """Return the link with this filter; without a name it has that of its source."""
        names = None if events is None else frozenset(each.definition.name for each in events)
        return cls(source if name is None else name, source, target, names, origin)

    def skips(self, members: dict[str, Any]) -> Skipped | None:
        """Return why an event with this metadata is not forwarded; None if it is."""
        if self.events is not None and members["event"] not in self.events:
            return "event"
        hops: list[WrittenHop] | None = members.get(ORIGIN_MEMBER)
        if self.origin != "any" and bool(hops) != (self.origin == "forwarded"):
            return "origin"
        if hops and any(each[0] == self.target for each in hops):
            return "loop"
        return None

    def hop(self, key: EventKey) -> list[str]:
        """Return the hop of an event that has this key in the source."""
        return write_hop(Hop(self.source, key, self.name))

    def key_of(self, hops: list[WrittenHop] | None) -> EventKey | None:
        """Return the key in the source of an event with these hops in the target; None if another link brought it."""
        if not hops or (hops[-1][0], hops[-1][2] if len(hops[-1]) > 2 else hops[-1][0]) != (self.source, self.name):  # noqa: PLR2004
            return None
        return EventKey.parse(hops[-1][1])
