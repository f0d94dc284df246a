"""Follow-up events: what the handlers of an event produce once, however often the event is attempted."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from event_backbone.errors import OnceInvalid
from event_backbone.model.event_key import EventKey

_LONGEST_LABEL = 100


class FollowUp(NamedTuple):
    """Which event is produced once for a handled event: the URI it goes to, its name on the wire, and its label."""

    uri: str
    event: str
    label: str


class KeptFollowUp(NamedTuple):
    """What the group keeps of a follow-up event: its event id and, once it is in its stream, its key."""

    event_id: UUID
    key: EventKey | None = None


def check_label(label: str) -> None:
    """Raise OnceInvalid unless this can be a label: 1 to 100 printable characters, none of them a space."""
    if not 1 <= len(label) <= _LONGEST_LABEL or not label.isprintable() or " " in label:
        raise OnceInvalid(f"A label for once= must have 1 to {_LONGEST_LABEL} printable characters without spaces.")
