"""Keeps who ordered in S3, under a separate credential, and the rest of each order in Redis.

A mailer has that credential. A program for statistics has not, and gets every order without the customer. Then one
customer is erased: the orders stay, and new groups read them from the beginning.

Run it with a Python that has the bundled runtime: ``PYTHONPATH=template/src python examples/personal_data/run.py``. It
starts its own servers and leaves none behind. Its S3 server takes any credential; a real one refuses those that may not
read a bucket.
"""
# ruff: noqa: ARG001, INP001, S106, T201

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel

from event_backbone import Backbone, Consumer, Context, Contract, EventKey, event
from event_backbone.storage import Part, RedisHashStorage, S3Options, S3Storage, SplitStorage, Storage
from event_backbone.testing import RedisServer, S3Server

URI = "shipment-tracking"
BUCKET = "customers"
WITHIN = timedelta(seconds=30)


class User(BaseModel):
    """Who orders: personal data."""

    name: str
    email: str


class Product(BaseModel):
    """What is ordered."""

    id: int
    name: str
    price: Decimal


class ShipmentTracking(Contract):
    """What happens to a shipment."""

    @event
    def order_placed(self, user: User | None, product: Product, time: datetime) -> None:
        """A customer placed an order; who it was may be missing."""


ADA = User(name="Ada", email="ada@example.com")
BOB = User(name="Bob", email="bob@example.com")
FEEDER = Product(id=7, name="Bird feeder", price=Decimal("19.90"))


def split(personal: Storage | Part) -> SplitStorage:
    """Keep the user of an order apart, and everything else in Redis."""
    return SplitStorage(RedisHashStorage(), by_argument={"order_placed.user": personal})


def with_credential(endpoint: str) -> SplitStorage:
    """What programs are given that may see customers."""
    options = S3Options(
        bucket=BUCKET, region="eu-central-1", access_key="mailer", secret_key="mailer-secret", endpoint=endpoint
    )
    return split(S3Storage(options, name="personal"))


def without_credential() -> SplitStorage:
    """What all others are given: the name of the storage, and no key to it."""
    return split(Part("personal", optional=True))


async def read_all(redis: str, storage: SplitStorage, group: str, orders: int) -> list[str]:
    """Let a new group handle all orders from the beginning; return what it made of them."""
    lines: list[str] = []
    consumer = Consumer(ShipmentTracking)

    @consumer.on(ShipmentTracking.order_placed)
    async def order_placed(ctx: Context, user: User | None, product: Product, time: datetime) -> None:
        who = "somebody" if user is None else f"{user.name} <{user.email}>"
        missing = f" (missing: {', '.join(ctx.metadata.missing)})" if ctx.metadata.missing else ""
        lines.append(f"{group}: {who} ordered {product.name} for {product.price}{missing}")

    async with (
        Backbone(redis, storage=storage, environment="demo") as backbone,
        asyncio.timeout(WITHIN.total_seconds()),
        backbone.subscribe(consumer, uri=URI, group=group, concurrency=1, max_events=orders) as subscription,
    ):
        await subscription.wait()
    print("\n".join(lines))
    return lines


async def place_orders(redis: str, storage: SplitStorage) -> EventKey:
    """Place an order of Ada and one of Bob; return the key of Ada's."""
    async with Backbone(redis, storage=storage, environment="demo") as backbone:
        producer = backbone.producer(ShipmentTracking, uri=URI)
        key = await producer.order_placed(ADA, FEEDER, datetime.now(UTC))
        await producer.order_placed(BOB, FEEDER, datetime.now(UTC))
        order = await backbone.reader(URI).get(key)
        print(f"Ada's order {key} is in:", *backbone.location(order), sep="\n  ")
    return key


async def erase_user(redis: str, storage: SplitStorage, key: EventKey) -> None:
    """Erase who placed an order; the order stays."""
    async with Backbone(redis, storage=storage, environment="demo") as backbone:
        print("Erased:", *await backbone.erase(URI, key, part="personal"), sep="\n  ")
        order = await backbone.reader(URI).get(key)
        print(f"The payload of {key} is {order.payload}: {order.missing_parts}")


async def follow(redis: str, s3: str) -> None:
    """Order, read with and without the credential, erase, and read again."""
    ada, bob = f"{ADA.name} <{ADA.email}>", f"{BOB.name} <{BOB.email}>"
    key = await place_orders(redis, with_credential(s3))
    expect(await read_all(redis, with_credential(s3), "mailer", 2), [ada, bob])
    expect(await read_all(redis, without_credential(), "statistics", 2), ["somebody", "somebody"])
    await erase_user(redis, with_credential(s3), key)
    expect(await read_all(redis, with_credential(s3), "mailer-again", 2), ["somebody", bob])
    expect(await read_all(redis, without_credential(), "statistics-again", 2), ["somebody", "somebody"])


def expect(lines: list[str], names: list[str]) -> None:
    """Fail unless the orders are of these people."""
    found = [line.partition(": ")[2].partition(" ordered")[0] for line in lines]
    if found != names:
        raise SystemExit(f"Found orders of {found}, but expected {names}.")


def main() -> None:
    """Start the servers, and follow the orders."""
    with S3Server() as s3, RedisServer(append_only=True) as redis:
        s3.wait_ready()
        s3.create_bucket(BUCKET)
        asyncio.run(follow(redis.url, s3.endpoint))


if __name__ == "__main__":
    main()
