"""Where a stream does not have all entries any more."""

from __future__ import annotations

from typing import NamedTuple

from event_backbone.model import EventKey


class Gap(NamedTuple):
    """Where a stream has not all entries: before this key; None if Redis notes nothing, as it has lost the notes."""

    before: EventKey | None
