"""The stream of events: its guarantees (``base``), on Redis (``redis``) and in memory (``memory``)."""

from event_backbone.stream.base import GroupAdmin, GroupLeases, GroupReader, Stream, Streams
from event_backbone.stream.values import (
    Comparison,
    DeadLetter,
    Delivery,
    Entry,
    GroupState,
    Lease,
    Look,
    NewEntry,
    Parking,
    PendingEntry,
    Reservation,
    Start,
)
from event_backbone.wire.keys import WAITING_CONSUMER

__all__ = [
    "WAITING_CONSUMER",
    "Comparison",
    "DeadLetter",
    "Delivery",
    "Entry",
    "GroupAdmin",
    "GroupLeases",
    "GroupReader",
    "GroupState",
    "Lease",
    "Look",
    "NewEntry",
    "Parking",
    "PendingEntry",
    "Reservation",
    "Start",
    "Stream",
    "Streams",
]
