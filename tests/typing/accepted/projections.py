"""What a type checker must accept: projections for a synchronous and for an asynchronous database."""

import sqlite3
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from event_backbone import Backbone, Contract, Metadata, StoredEvent, event
from event_backbone.projection import Projection, ProjectionStore, Projector, SqliteStore


class Shop(Contract):
    """A base contract."""

    @event
    def opened(self, at: datetime) -> None:
        """The shop opens."""


class Ship(Shop):
    """A contract."""

    @event
    def packing(self, email: str, product_id: int = 0, *, fragile: bool = False) -> None:
        """The parcel is being packed."""


projection = Projection(Ship, name="parcels", version=2, transaction=sqlite3.Connection)


@projection.on(Ship.packing)
def packing(
    tx: sqlite3.Connection, metadata: Metadata, email: str, product_id: int = 0, *, fragile: bool = False
) -> None:
    """Not async; the event's own defaults are repeated."""
    tx.execute("INSERT INTO parcels VALUES (?)", (str(metadata.key),))


@projection.on(Ship.opened)
async def opened(tx: sqlite3.Connection, metadata: Metadata, at: datetime) -> None:
    """Async, and an inherited event."""


@projection.without_payload
def without_payload(tx: sqlite3.Connection, event: StoredEvent) -> None:
    """Takes the event as it is stored."""


@projection.reset
def empty(tx: sqlite3.Connection) -> None:
    """Takes the transaction alone."""


of_sessions = Projection(Ship, name="parcels", transaction=AsyncSession)


@of_sessions.on(Ship.opened)
async def opened_in_a_session(tx: AsyncSession, metadata: Metadata, at: datetime) -> None:
    """Takes what the store begins."""


@of_sessions.reset
async def empty_in_a_session(tx: AsyncSession) -> None:
    """May be async too."""


async def project(backbone: Backbone, sessions: ProjectionStore[AsyncSession]) -> None:
    """A store fits the transactions of its projection."""
    store: ProjectionStore[sqlite3.Connection] = SqliteStore("views.sqlite")
    projector: Projector = backbone.projector(projection, "shipments", store=store, rebuild=True)
    async with projector, backbone.projector(of_sessions, "shipments", store=sessions):
        await projector.until_caught_up()
        await projector.rebuild()
