"""What a type checker must reject when events are projected."""

import sqlite3

from event_backbone import Backbone, Contract, Metadata, StoredEvent, event
from event_backbone.projection import Projection, ProjectionStore


class Ship(Contract):
    """The contract of the projection."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed."""


class Other(Contract):
    """Another contract with the same event."""

    @event
    def packing(self, email: str, product_id: int) -> None:
        """The parcel is being packed."""


projection = Projection(Ship, name="parcels", transaction=sqlite3.Connection)


@projection.on(Ship.packing)
def right(tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: int) -> None:
    """The one that fits."""


@projection.on(Ship.packing)  # expect-error: wrong type
def wrong_type(tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: str) -> None:
    """Takes another type."""


@projection.on(Ship.packing)  # expect-error: missing argument
async def missing_argument(tx: sqlite3.Connection, metadata: Metadata, email: str) -> None:
    """Takes too few."""


@projection.on(Ship.packing)  # expect-error: another name
def another_name(tx: sqlite3.Connection, metadata: Metadata, email: str, identity: int) -> None:
    """Takes another name, by which it would be called."""


@projection.on(Ship.packing)  # expect-error: no metadata
def no_metadata(tx: sqlite3.Connection, email: str, product_id: int) -> None:
    """Takes no metadata."""


@projection.on(Ship.packing)  # expect-error: another transaction
def another_transaction(tx: sqlite3.Cursor, metadata: Metadata, email: str, product_id: int) -> None:
    """Takes what the store does not begin."""


@projection.on(Ship.packing)  # expect-error: a result
def a_result(tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: int) -> int:
    """Returns something."""
    return 1


@projection.on(Other.packing)  # expect-error: an event of another contract
def another_contract(tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: int) -> None:
    """Folds what never comes."""


@projection.reset  # expect-error: another argument
def reset_with_an_event(tx: sqlite3.Connection, event: StoredEvent) -> None:
    """There is no event yet."""


@projection.without_payload  # expect-error: no event
def without_event(tx: sqlite3.Connection) -> None:
    """Takes too few."""


def project(backbone: Backbone, store: ProjectionStore[sqlite3.Cursor]) -> None:
    """The store begins other transactions."""
    backbone.projector(projection, "shipments", store=store)  # expect-error: another transaction
