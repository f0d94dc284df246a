"""A project for several worker processes: its command line, with handlers that show which process ran them.

What ``packed`` does depends on its number: 1 blocks its event loop until the process ends, 2 waits until the test lets
it go on, and all others end at once. A process takes one event ahead. POOL_DRAIN is the ``drain`` in seconds.
"""

import os
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.cli import Project, build_cli, run
from event_backbone.consumer import Consumer, Context
from event_backbone.interceptors import HandleInterceptor
from event_backbone.otlp import configure_otlp
from event_backbone.worker import Worker
from tests.support.parcels import GROUP, URI, Parcels

BEGUN, GO_ON, DONE = "begun", "go-on", "done"
"""Lists of the server: ``<pid> <number>`` of what began, a word for each that may go on, and what ended."""
BLOCK, WAIT = 1, 2


def open_backbone(settings: None = None, /, *, handle_interceptors: Sequence[HandleInterceptor] = ()) -> Backbone:
    """Make the backbone from the environment."""
    configure_otlp("pool")
    return Backbone(handle_interceptors=handle_interceptors)


@asynccontextmanager
async def open_worker(settings: None, backbone: Backbone) -> AsyncGenerator[Worker]:
    """Subscribe the handler, one event at a time."""
    url = os.environ["REDIS_EVENT_SOURCE_ENDPOINT"]
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        async with Redis.from_url(url, socket_timeout=60) as client:
            entry = f"{os.getpid()} {number}"
            await client.rpush(BEGUN, entry)
            if number == BLOCK:
                threading.Event().wait()
            if number == WAIT:
                await client.blpop([GO_ON], timeout=50)
            await client.rpush(DONE, entry)

    subscription = backbone.subscribe(
        consumer,
        uri=URI,
        group=GROUP,
        concurrency=1,
        prefetch=1,
        lease=timedelta(seconds=2),
        drain=timedelta(seconds=float(os.environ.get("POOL_DRAIN", "20"))),
    )
    async with Worker(subscription) as worker:
        yield worker


def project() -> Project:
    """Describe the project to the command line."""
    return Project(
        name="pool",
        module="tests.cli.pool",
        contract=Parcels,
        uri=URI,
        load_settings=lambda: None,
        open_backbone=open_backbone,
        group=GROUP,
        open_worker=open_worker,
        worker_health_address=lambda _: ("127.0.0.1", 0),
        worker_processes=lambda _: int(os.environ.get("WORKER_PROCESSES", "1")),
    )


if __name__ == "__main__":
    run(build_cli(project()))
