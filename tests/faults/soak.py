"""A process that sends very many events through a producer and a subscription, and prints its usage in between.

Each line is a JSON object; ``Usage`` says what it counts. The stream is trimmed as it goes, to keep the server small.
"""

import argparse
import asyncio
import gc
import logging
import resource
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta

from pydantic_core import to_json
from redis.asyncio import Redis

from event_backbone.backbone import Backbone
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Reject
from event_backbone.policy import RetryPolicy
from event_backbone.storage import RedisHashStorage
from tests.faults.worker import report
from tests.support.eventually import eventually
from tests.support.parcels import GROUP, URI, Parcels

ENVIRONMENT = "test"
_SLICE = 5_000
_AT_ONCE = 500
_FAILS_FIRST = 100
_REJECTED = 1_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process uses when all is handled: objects, memory blocks, tasks, and the most memory it ever used."""

    events: int
    objects: int
    blocks: int
    tasks: int
    peak_bytes: int


def usage(events: int) -> Usage:
    """Count what is left after garbage collection."""
    gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Usage(
        events=events,
        objects=len(gc.get_objects()),
        blocks=sys.getallocatedblocks(),
        tasks=len(asyncio.all_tasks()),
        peak_bytes=peak if sys.platform == "darwin" else peak * 1024,
    )


async def handle(ctx: Context, number: int) -> None:
    """Fail now and then, for a while or permanently; else succeed."""
    if number % _REJECTED == 0:
        raise Reject("not this one")
    if number % _FAILS_FIRST == 0 and ctx.attempt == 1:
        raise LookupError


@asynccontextmanager
async def subscribed(url: str) -> AsyncGenerator[Backbone]:
    """Open a backbone and consume in it. Payloads and remembered ids expire soon: they are the server's memory."""
    storage = RedisHashStorage(expires_after=timedelta(minutes=1))
    consumer = Consumer(Parcels)
    consumer.on(Parcels.packed)(handle)
    async with Backbone(
        url, storage=storage, environment=ENVIRONMENT, deduplicate_for=timedelta(seconds=30)
    ) as backbone:
        retry = RetryPolicy(backoff=timedelta(milliseconds=10))
        async with backbone.subscribe(consumer, uri=URI, group=GROUP, retry=retry):
            yield backbone


async def soak(url: str, events: int) -> None:
    """Send slice after slice; each is handled and trimmed before the next."""
    async with subscribed(url) as backbone, Redis.from_url(url) as admin:
        producer = backbone.producer(Parcels, uri=URI)

        async def settled() -> bool:
            await asyncio.sleep(0.01)
            return [(state.pending, state.unread) for state in await backbone.groups(URI)] == [(0, 0)]

        for done in range(0, events, _SLICE):
            for first in range(done, done + _SLICE, _AT_ONCE):
                await asyncio.gather(*(producer.packed(number) for number in range(first, first + _AT_ONCE)))
            await eventually(settled, 60)
            await admin.xtrim(f"{ENVIRONMENT}:{URI}", maxlen=0, approximate=False)
            report(to_json(asdict(usage(done + _SLICE))).decode())


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--events", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)  # what fails here fails on purpose
    asyncio.run(soak(arguments.url, arguments.events))


if __name__ == "__main__":
    main()
