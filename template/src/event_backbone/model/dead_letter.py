"""The decision to move an event to the dead letters."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """Move the event to the dead letters of its group.

    ``reason`` is one of "rejected", "attempts-exhausted", "undecodable", "unknown-event", "unknown-version",
    "payload-gone" and "crashed". ``detail`` is the text of a Reject or of an error of this package, otherwise empty, so
    it contains no payload. ``error`` is the name of the error's type, empty if there was no error, and ``place`` is
    where it was raised, as ``place_of`` returns it.
    """

    reason: str
    detail: str
    error: str
    place: tuple[str, ...] = ()
