"""The stream of events: its guarantees (``base``), on Redis (``redis``) and in memory (``memory``)."""

from event_backbone.stream.base import GroupReader, Streams
from event_backbone.stream.group_admin import GroupAdmin
from event_backbone.stream.values import (
    Comparison,
    Delivery,
    GroupState,
    Lease,
    Look,
    NewEntry,
)

__all__ = [
    "Comparison",
    "Delivery",
    "GroupAdmin",
    "GroupReader",
    "GroupState",
    "Lease",
    "Look",
    "NewEntry",
    "Streams",
]
