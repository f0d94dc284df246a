"""The values of the option `--origin`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from event_backbone.model import OriginFilter


class Origin(StrEnum):
    """Which events are wanted, by where they were produced."""

    ANY = "any"
    PRODUCED = "produced"
    FORWARDED = "forwarded"

    @property
    def wanted(self) -> OriginFilter:
        """The same as the runtime takes it."""
        if self is Origin.PRODUCED:
            return "produced"
        return "forwarded" if self is Origin.FORWARDED else "any"
