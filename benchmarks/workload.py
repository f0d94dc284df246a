"""What is sent in every race: one event of three arguments whose payload is about 512 bytes."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel

from event_backbone import Contract, event

TEXT = "x" * 440
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Parcels(Contract):
    """What the benchmarks send."""

    @event
    def packing(self, email: str, product_id: int, time: datetime) -> None:
        """The parcel is being packed."""


class Packing(BaseModel):
    """The same event as a pydantic model, for the baselines."""

    email: str
    product_id: int
    time: datetime


def example(number: int) -> Packing:
    """Return the event that a baseline sends."""
    return Packing(email=TEXT, product_id=number, time=TIME)
