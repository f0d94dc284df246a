"""A project as the template renders one, small: its contract, handlers and command line.

SHOP_STORAGE chooses the storage (redis-hash, inline, s3 or split), SHOP_ARCHIVE whether there is an archive (no, yes),
SHOP_RETENTION_DAYS after how many days events leave Redis (0 keeps everything), SHOP_MIN_REPLICAS how many replicas
must have an event, SHOP_ROLE the role (both, producer or consumer), SHOP_FAILS whether its handlers fail (never, once,
always, bug), and SHOP_HANGS whether ``closed`` never ends (no, task, thread, until-cancelled).
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from event_backbone.archive import S3Archive
from event_backbone.backbone import Backbone
from event_backbone.cli import Project, build_cli, run
from event_backbone.consumer import Consumer, Context
from event_backbone.contract import Contract, event
from event_backbone.errors import Reject, Retry
from event_backbone.interceptors import HandleInterceptor
from event_backbone.otlp import configure_otlp
from event_backbone.retention import Retention
from event_backbone.storage import RedisHashStorage, S3Options, S3Storage, SplitStorage, Storage
from event_backbone.worker import Worker


def setting(name: str, default: str) -> str:
    """Read one of the shop's own variables."""
    return os.environ.get(f"SHOP_{name}", default)


class User(BaseModel):
    """Who orders."""

    name: str
    email: str


class Shop(Contract):
    """What happens in a shop."""

    @event
    def order_placed(self, user: User, product_id: int, time: datetime) -> None:
        """A customer placed an order.

        The order is not paid yet.
        """

    @event
    def packing(self, email: str, tags: list[str] | None = None) -> None:
        """The parcel is being packed."""

    @event(deprecated="nobody reads it.")
    def closed(self) -> None:
        """The shop closed."""


def open_backbone(settings: None = None, /, *, handle_interceptors: Sequence[HandleInterceptor] = ()) -> Backbone:
    """Make the shop's backbone from the environment."""
    configure_otlp("shop")
    archive = S3Archive() if setting("ARCHIVE", "no") == "yes" else None
    days = int(setting("RETENTION_DAYS", "0"))
    retention = Retention(max_age=timedelta(days=days)) if days else None
    return Backbone(
        storage=storage(),
        archive=archive,
        retention=retention,
        handle_interceptors=handle_interceptors,
        min_replicas=int(setting("MIN_REPLICAS", "0")),
    )


def storage() -> Storage:
    """Make the storage of SHOP_STORAGE."""
    match setting("STORAGE", "redis-hash"):
        case "s3":
            return S3Storage()
        case "split":
            return SplitStorage(RedisHashStorage(), {"packing.tags": RedisHashStorage(name="personal")})
        case name:
            return RedisHashStorage(inline_up_to_bytes=1024 if name == "inline" else 0)


def s3_options(settings: None) -> S3Options:
    """Read the options of the shop's S3 storage from the environment."""
    return S3Options()


@dataclass(frozen=True)
class Services:
    """What the handlers need."""

    producer: Shop


@asynccontextmanager
async def open_services(settings: None, backbone: Backbone) -> AsyncGenerator[Services]:
    """Open what the handlers need."""
    yield Services(backbone.producer(Shop, uri="shop"))


def create_worker(settings: None, backbone: Backbone, *, archive: bool = True) -> Worker:
    """Subscribe the shop's handlers, and archive if the shop has an archive."""
    drain = timedelta() if setting("HANGS", "no") != "no" else timedelta(seconds=20)
    archivers = [backbone.archiver("shop")] if archive and setting("ARCHIVE", "no") == "yes" else []
    services = Services(backbone.producer(Shop, uri="shop"))
    subscription = backbone.subscribe(
        create_consumer(), services=services, uri="shop", group="main-consumer", drain=drain
    )
    return Worker(*archivers, subscription)


def create_consumer() -> Consumer[Shop, Services]:
    """Make the shop's handlers."""
    consumer = Consumer(Shop, services=Services)

    @consumer.on(Shop.order_placed)
    async def order_placed(ctx: Context[Services], user: User, product_id: int, time: datetime) -> None:
        if setting("FAILS", "never") == "always":
            raise Reject(f"no product {product_id} for {user.name}")
        if setting("FAILS", "never") == "once" and ctx.attempt == 1:
            raise Retry(after=timedelta(milliseconds=10))
        assert time < datetime.now(UTC)

    @consumer.on(Shop.packing)
    async def packing(ctx: Context[Services], email: str, tags: list[str] | None = None) -> None:
        assert email
        if setting("FAILS", "never") == "bug":
            await ctx.services.producer.packing(email, ["again"])
            raise LookupError("bug")

    @consumer.on(Shop.closed)
    async def closed(ctx: Context[Services]) -> None:
        assert ctx.metadata.event == "closed"
        await never_end(setting("HANGS", "no"))

    return consumer


async def never_end(how: str) -> None:
    """Say so, and hang until cancelled, as a task that swallows its cancellation, or within a thread."""
    if how == "no":
        return
    logging.getLogger(__name__).warning("Hanging.")
    if how == "thread":
        await asyncio.to_thread(threading.Event().wait)
    while how == "until-cancelled":
        await asyncio.Event().wait()
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def project() -> Project:
    """Describe the shop to its command line."""
    role = setting("ROLE", "both")
    consumes = role != "producer"
    return Project(
        name="shop",
        module="tests.cli.shop",
        contract=Shop,
        uri="shop",
        load_settings=lambda: None,
        open_backbone=open_backbone,
        produces=role != "consumer",
        group="main-consumer" if consumes else None,
        open_worker=create_worker if consumes else None,
        consumer=create_consumer() if consumes else None,
        open_services=open_services if consumes else None,
        archives=setting("ARCHIVE", "no") == "yes",
        api="tests.cli.shop_api:app" if role != "consumer" else None,
        api_address=lambda _: (os.environ.get("SERVE_HOST", "127.0.0.1"), _port("SERVE_PORT") or 8000),
        worker_health_address=lambda _: (
            os.environ.get("WORKER_HEALTH_HOST", "127.0.0.1"),
            _port("WORKER_HEALTH_PORT"),
        ),
        s3_options=s3_options if setting("STORAGE", "redis-hash") == "s3" else None,
    )


def _port(variable: str) -> int | None:
    return int(os.environ[variable]) if variable in os.environ else None


if __name__ == "__main__":
    run(build_cli(project()))
