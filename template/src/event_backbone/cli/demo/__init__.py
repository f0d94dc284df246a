"""`demo`: every event from the producer to its handler, on servers and processes started for the demo alone."""

from __future__ import annotations

from typing import Annotated

import typer

from event_backbone.cli.errors import USAGE_ERROR, fail, run_async
from event_backbone.cli.project import project_of


def demo(
    ctx: typer.Context,
    cluster: Annotated[bool, typer.Option("--cluster", help="Run on a Redis Cluster.")] = False,
    sentinel: Annotated[bool, typer.Option("--sentinel", help="Run on Redis with Sentinels.")] = False,
) -> None:
    """Start servers, a worker and a producer, send every event, and show what arrived."""
    from event_backbone.cli.demo.run import run_demo  # noqa: PLC0415 - brings the servers, which may be missing
    from event_backbone.testing.servers import RedisCluster, RedisSentinel, RedisServer  # noqa: PLC0415 - as above

    if cluster and sentinel:
        fail("Choose --cluster or --sentinel, not both.", USAGE_ERROR)
    run_async(run_demo(project_of(ctx), RedisCluster if cluster else RedisSentinel if sentinel else RedisServer))


def send_every_event(ctx: typer.Context, journal: Annotated[int, typer.Option()]) -> None:
    """Send every event of the contract once, and note each in the journal."""
    from event_backbone.cli.demo.producer import produce_every_event  # noqa: PLC0415 - as above

    run_async(produce_every_event(project_of(ctx), journal))


def handle_every_event(ctx: typer.Context, journal: Annotated[int, typer.Option()]) -> None:
    """Handle every event of the stream in a new group, and note each in the journal."""
    from event_backbone.cli.demo.loss import handle_every_event as handle  # noqa: PLC0415 - as above

    run_async(handle(project_of(ctx), journal))
