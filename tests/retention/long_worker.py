"""One consumer of a group in a separate process, which is there to be killed: it writes each number before the ack."""

import argparse
import asyncio
import os
from datetime import timedelta

from event_backbone import Backbone, Consumer, Context, Worker
from event_backbone.archive import S3Archive
from tests.retention.long_run import DEDUPLICATE_FOR, RETENTION
from tests.support.parcels import URI, Parcels


async def work(url: str, group: str, file: str, delay: float, *, archives: bool) -> None:
    """Handle events until the end."""
    consumer = Consumer(Parcels)
    handled = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @consumer.on(Parcels.packed)
    async def packed(_: Context, number: int) -> None:
        if delay:
            await asyncio.sleep(delay)
        os.write(handled, number.to_bytes(4, "little"))

    archive = S3Archive(close_after=timedelta(seconds=5))
    async with Backbone(
        url, archive=archive, retention=RETENTION, deduplicate_for=DEDUPLICATE_FOR, environment="test"
    ) as backbone:
        subscription = backbone.subscribe(
            consumer, uri=URI, group=group, lease=timedelta(seconds=5), concurrency=50, prefetch=300
        )
        async with Worker(*([backbone.archiver(URI)] if archives else []), subscription) as worker:
            print("ready", flush=True)  # noqa: T201
            await worker.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--group")
    parser.add_argument("--file")
    parser.add_argument("--delay", type=float)
    parser.add_argument("--archives", action="store_true")
    options = parser.parse_args()
    asyncio.run(work(options.url, options.group, options.file, options.delay, archives=options.archives))
