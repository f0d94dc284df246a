"""The stream of events: what it guarantees (``base``), on Redis (``redis``) and in memory (``memory``)."""

from event_backbone.stream.base import (
    Claimed,
    DeadLetter,
    Delivery,
    Entry,
    GroupAdmin,
    GroupLeases,
    GroupReader,
    GroupState,
    Lease,
    NewDeadLetter,
    NewEntry,
    PendingEntry,
    Reservation,
    Start,
    Stream,
    Streams,
)

__all__ = [
    "Claimed",
    "DeadLetter",
    "Delivery",
    "Entry",
    "GroupAdmin",
    "GroupLeases",
    "GroupReader",
    "GroupState",
    "Lease",
    "NewDeadLetter",
    "NewEntry",
    "PendingEntry",
    "Reservation",
    "Start",
    "Stream",
    "Streams",
]
