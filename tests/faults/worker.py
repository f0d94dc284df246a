"""A consuming process for fault tests: prints a line for each step, and stops on signals.

``packed`` with number 666 ends the process at once, with 777 it blocks the event loop for ``--sleep`` seconds. With
``--block-odd`` odd numbers never finish. With ``--follow-up`` each attempt produces ``sent`` once, to ``sent-parcels``,
and with ``--fail-until`` all attempts before that one fail after it. With ``--batches-of`` a batch handler takes up to
so many instead, which with ``--block-odd`` never finish if their first number is odd.
"""

import argparse
import asyncio
import os
import signal
import time
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.backoff import Backoff
from event_backbone.consumer import Batch, Consumer, Context
from event_backbone.policy import RetryPolicy
from tests.support.event_loop import loop_factory
from tests.support.parcels import GROUP, URI, Parcels

POISON = 666
BLOCKING = 777
FOLLOW_UPS = "sent-parcels"


def report(*words: object) -> None:
    """Print a line that the test sees at once."""
    print(*words, flush=True)  # noqa: T201 - the test reads it


def build_consumer(
    *, block_odd: bool, sleep_seconds: float, follow_up: Parcels | None, fail_until: int
) -> Consumer[Parcels]:
    """Return the handlers."""
    consumer = Consumer(Parcels)

    @consumer.on(Parcels.packed)
    async def handle(ctx: Context, number: int) -> None:
        report("began", number, ctx.attempt)
        if number == POISON:
            os._exit(9)
        if number == BLOCKING:
            time.sleep(sleep_seconds)  # noqa: ASYNC251 - what no handler should do
        if block_odd and number % 2:
            try:
                await asyncio.Event().wait()
            finally:
                report("cancelled", number, ctx.attempt)
        if follow_up is not None:
            await follow_up.sent.using(once="parcel")(number, f"{ctx.attempt}@example.com")
        if ctx.attempt < fail_until:
            raise LookupError
        report("done", number, ctx.attempt)

    return consumer


def build_batch_consumer(*, most: int, block_odd: bool) -> Consumer[Parcels]:
    """Return a batch handler."""
    consumer = Consumer(Parcels)

    @consumer.on_batch(Parcels.packed, most=most)
    async def handle(batch: Batch[[int]]) -> None:
        events = [(each.arguments["number"], each.ctx.attempt) for each in batch]
        report("batch", len(batch), events[0][1])
        for event in events:
            report("began", *event)
        if block_odd and events[0][0] % 2:
            await asyncio.Event().wait()
        for event in events:
            report("done", *event)

    return consumer


async def work(arguments: argparse.Namespace) -> None:
    """Consume until a signal stops it."""
    async with Backbone(arguments.url, environment="test") as backbone:
        follow_up = backbone.producer(Parcels, uri=FOLLOW_UPS) if arguments.follow_up else None
        consumer = build_consumer(
            block_odd=arguments.block_odd,
            sleep_seconds=arguments.sleep,
            follow_up=follow_up,
            fail_until=arguments.fail_until,
        )
        if arguments.batches_of:
            consumer = build_batch_consumer(most=arguments.batches_of, block_odd=arguments.block_odd)
        subscription = backbone.subscribe(
            consumer,
            uri=URI,
            group=GROUP,
            lease=timedelta(seconds=arguments.lease),
            drain=timedelta(seconds=arguments.drain),
            concurrency=arguments.concurrency,
            retry=RetryPolicy(arguments.max_attempts, timedelta() if arguments.follow_up else Backoff()),
        )
        async with subscription:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, subscription.stop)
            report("ready")
            await subscription.wait()
    report("stopped")


def main() -> None:
    """Read the arguments and consume."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--lease", type=float, default=60)
    parser.add_argument("--drain", type=float, default=10)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--max-attempts", type=int, default=15)
    parser.add_argument("--block-odd", action="store_true")
    parser.add_argument("--follow-up", action="store_true")
    parser.add_argument("--fail-until", type=int, default=0)
    parser.add_argument("--batches-of", type=int, default=0)
    parser.add_argument("--sleep", type=float, default=0)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
