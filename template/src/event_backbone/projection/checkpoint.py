"""How far a view is, as one text in its database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydantic_core import from_json, to_json

from event_backbone.errors import ConfigurationError
from event_backbone.model import EventKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a view is.

    Attributes:
        version: the version of the projection that makes the view.
        after: the key up to which the view has all events.
        since: the newest key of the stream when this view was begun. What has a later key and was restored may have
            been in the stream, and so in the view, under another key before.
    """

    version: int
    after: EventKey
    since: EventKey

    def text(self) -> str:
        """Return what a store keeps."""
        return to_json({"version": self.version, "after": str(self.after), "since": str(self.since)}).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a store has kept; raise ConfigurationError if it cannot be read."""
        try:
            found = from_json(text)
            after, since = EventKey.parse(found["after"]), EventKey.parse(found["since"])
            return cls(version=int(found["version"]), after=after, since=since)
        except (ConfigurationError, KeyError, TypeError, ValueError):
            raise ConfigurationError(
                "A checkpoint in the store of a projection cannot be read: a later version of this package wrote it,"
                " or another program. Update this one, or build the view again with rebuild=True."
            ) from None
