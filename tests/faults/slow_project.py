"""A project whose handlers wait until the test lets them go: its command line, as a rendered project has it."""

import os
from collections.abc import Sequence

from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.cli import Project, build_cli, run
from event_backbone.consumer import Consumer, Context
from event_backbone.interceptors import HandleInterceptor
from event_backbone.worker import Worker
from tests.support.parcels import GROUP, URI, Parcels

BEGUN, GO_ON, DONE = "begun", "go-on", "done"
"""Lists of the server: the numbers whose handlers began, a word for each that may go on, and those that ended."""


def open_backbone(settings: None = None, /, *, handle_interceptors: Sequence[HandleInterceptor] = ()) -> Backbone:
    """Make the backbone from the environment."""
    return Backbone(handle_interceptors=handle_interceptors)


def create_worker(settings: None, backbone: Backbone) -> Worker:
    """Subscribe the handler, one event at a time."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        async with Redis.from_url(os.environ["REDIS_EVENT_SOURCE_ENDPOINT"], socket_timeout=60) as client:
            await client.rpush(BEGUN, number)
            await client.blpop([GO_ON], timeout=50)
            await client.rpush(DONE, number)

    return Worker(backbone.subscribe(consumer, uri=URI, group=GROUP, concurrency=1))


def project() -> Project:
    """Describe the project to the command line."""
    return Project(
        name="slow",
        module="tests.faults.slow_project",
        contract=Parcels,
        uri=URI,
        load_settings=lambda: None,
        open_backbone=open_backbone,
        produces=True,
        group=GROUP,
        open_worker=create_worker,
    )


if __name__ == "__main__":
    run(build_cli(project()))
