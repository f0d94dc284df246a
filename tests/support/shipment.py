"""The contract that tests of producing and reading share, and a consumer's run over it."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from event_backbone import Backbone, Consumer, Contract, event
from tests.support.parcels import run_to_the_end

URI = "shipments"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class User(BaseModel):
    """Who orders."""

    name: str
    email: str


class Product(BaseModel):
    """What is ordered."""

    id: int
    title: str


class ShipmentTracking(Contract):
    """What happens to a shipment."""

    @event
    def order_placed(self, user: User, product: Product, time: datetime) -> None:
        """A customer placed an order."""

    @event
    def packing(self, email: str, product_id: int, time: datetime) -> None:
        """The parcel is being packed."""

    @event
    def note(self, text: str) -> None:
        """Somebody noted something."""


class SplitShipments(Contract):
    """Shipments of which some arguments are kept apart, and can be missing."""

    @event
    def packing(self, email: str | None, product_id: int, time: datetime | None) -> None:
        """The parcel is being packed."""

    @event
    def note(self, text: str) -> None:
        """Somebody noted something."""


class Billing(Contract):
    """What happens to an invoice."""

    @event
    def invoiced(self, number: int) -> None:
        """An invoice was sent."""


async def consume(
    backbone: Backbone, consumer: Consumer[Any], events: int, *, uri: str = URI, group: str = "g"
) -> None:
    """Run a consumer until it has handled this many events."""
    await run_to_the_end(backbone.subscribe(consumer, uri=uri, group=group, max_events=events))
