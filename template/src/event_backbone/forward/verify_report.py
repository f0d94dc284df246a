"""What comparing both sides of a link found."""

from __future__ import annotations

from dataclasses import dataclass, field

from event_backbone.model import EventKey

_MOST_KEYS = 10


@dataclass(slots=True)
class Difference:
    """How many events differ in one way, and the keys of the first ones in the source."""

    count: int = 0
    keys: list[EventKey] = field(default_factory=list[EventKey])

    def add(self, key: EventKey) -> None:
        """Count an event."""
        self.count += 1
        if len(self.keys) < _MOST_KEYS:
            self.keys.append(key)


@dataclass(slots=True)
class VerifyReport:
    """What comparing both sides of a link found, up to its checkpoint.

    Attributes:
        link: the link's name.
        checkpoint: up to which key of the source both were compared.
        equal: how many events are on both sides, with the same metadata and payload.
        other_way: how many came to the target another way; their payloads were not compared.
        missing: events of the source that the target does not have.
        duplicates: events that the link brought to the target more than once, or out of order.
        differing: events whose metadata or payload is not the same on both sides.
        extra: events of the target that the source does not have, though nothing has left it there.
        unchecked: how many events of the target have left the source, so that they could not be compared.
    """

    link: str
    checkpoint: EventKey
    equal: int = 0
    other_way: int = 0
    missing: Difference = field(default_factory=Difference)
    duplicates: Difference = field(default_factory=Difference)
    differing: Difference = field(default_factory=Difference)
    extra: Difference = field(default_factory=Difference)
    unchecked: int = 0

    @property
    def ok(self) -> bool:
        """Whether no difference was found."""
        return not (self.missing.count or self.duplicates.count or self.differing.count or self.extra.count)
