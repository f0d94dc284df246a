"""The contract that tests of producing and reading share."""

from datetime import datetime

from pydantic import BaseModel

from event_backbone import Contract, event


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


class Billing(Contract):
    """What happens to an invoice."""

    @event
    def invoiced(self, number: int) -> None:
        """An invoice was sent."""
