"""An event between its loading and its handlers."""

from __future__ import annotations

from dataclasses import dataclass

from event_backbone.errors import StorageError
from event_backbone.model import Metadata, Payload, PayloadReference
from event_backbone.subscription.routes import Route


@dataclass(slots=True)
class LoadedEvent:
    """An event whose metadata was read.

    ``payload`` is what was loaded, or why it could not be; None means that no handler wants it. ``repeats`` counts how
    often this attempt was begun before. ``route`` is where it goes.
    """

    metadata: Metadata
    route: Route
    payload: Payload | StorageError | None
    references: tuple[PayloadReference, ...] = ()
    repeats: int = 0

    @property
    def inline(self) -> bool:
        """Whether the payload is in the entry itself."""
        return not self.references
