"""A consuming process that takes every event it can get and finishes none; the test kills it.

Its payloads are in S3 when S3_EVENT_SOURCE_BUCKET is set, else in Redis hashes.
"""

import argparse
import asyncio
import os
from datetime import timedelta

from event_backbone import Backbone, Consumer, Context
from event_backbone.storage import RedisHashStorage, S3Storage
from tests.support.event_loop import loop_factory
from tests.support.parcels import GROUP, URI, Parcels


def report(*words: object) -> None:
    """Print a line that the test sees at once."""
    print(*words, flush=True)  # noqa: T201 - the test reads it


async def work(url: str) -> None:
    """Begin events until the process is killed."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        report("began", number, ctx.attempt)
        await asyncio.Event().wait()

    storage = S3Storage() if os.environ.get("S3_EVENT_SOURCE_BUCKET") else RedisHashStorage()
    async with (
        Backbone(url, storage=storage, environment="test") as backbone,
        backbone.subscribe(consumer, uri=URI, group=GROUP, lease=timedelta(seconds=1)) as subscription,
    ):
        report("ready")
        await subscription.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work(parser.parse_args().url))
