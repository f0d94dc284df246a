"""A consuming process of a chaos round. It prints ``began`` and ``done`` with the number and attempt of each event."""

import argparse
import asyncio
import logging
import signal
import time
from contextlib import suppress
from datetime import timedelta

from event_backbone.backbone import Backbone
from event_backbone.backoff import Backoff
from event_backbone.consumer import Consumer, Context
from event_backbone.errors import Reject, Retry
from event_backbone.policy import RetryPolicy
from event_backbone.storage import S3Storage
from tests.faults.chaos.characters import character
from tests.faults.chaos.settings import DRAIN, ENVIRONMENT, LEASE, s3_options
from tests.faults.worker import report
from tests.support.event_loop import loop_factory
from tests.support.parcels import GROUP, URI, Parcels

_RETRY = RetryPolicy(
    max_attempts=6, backoff=Backoff(first=timedelta(milliseconds=30), longest=timedelta(milliseconds=300))
)
_FAILURES = 2


class Handling:
    """Handles each event according to its character."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tasks: dict[int, asyncio.Task[object]] = {}
        self.consumer = Consumer(Parcels)
        self.consumer.on(Parcels.packed)(self.packed)

    async def packed(self, ctx: Context, number: int) -> None:
        """Report the beginning, behave, and report the end if there is one."""
        report("began", number, ctx.attempt)
        task = asyncio.current_task()
        assert task is not None
        self._tasks[number] = task
        try:
            await self._behave(number, ctx.attempt, task)
        finally:
            self._tasks.pop(number, None)
        report("done", number, ctx.attempt)

    async def _behave(self, number: int, attempt: int, task: asyncio.Task[object]) -> None:
        match character(self._seed, number):
            case "plain":
                pass
            case "slow":
                await asyncio.sleep(0.05 + number % 5 / 10)
            case "blocks":
                time.sleep(0.02 + number % 5 / 100)  # noqa: ASYNC251 - what a handler must not do, and some do
            case "blocks beyond the lease":
                time.sleep(LEASE.total_seconds() * 1.3)  # noqa: ASYNC251 - the same
            case "fails twice" if attempt <= _FAILURES:
                raise LookupError
            case "asks for a retry" if attempt <= _FAILURES:
                raise Retry(after=timedelta(milliseconds=50 + number % 5 * 50))
            case "is rejected":
                raise Reject("not this one")
            case "always fails":
                raise LookupError
            case "cancels itself" | "cancels another" | "keeps a cancellation" as manner if attempt <= _FAILURES:
                await self._cancel(manner, number, task)
            case _:
                pass

    async def _cancel(self, manner: str, number: int, task: asyncio.Task[object]) -> None:
        if manner == "cancels another":
            for other in [other for other in self._tasks if other != number][:1]:
                self._tasks[other].cancel()
            return
        task.cancel()
        if manner == "cancels itself":
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def work(arguments: argparse.Namespace) -> None:
    """Consume until SIGTERM."""
    storage = S3Storage(s3_options()) if arguments.s3 else None
    async with Backbone(arguments.url, storage=storage, environment=ENVIRONMENT) as backbone:
        subscription = backbone.subscribe(
            Handling(arguments.seed).consumer,
            uri=URI,
            group=GROUP,
            lease=LEASE,
            drain=DRAIN,
            concurrency=arguments.concurrency,
            retry=_RETRY,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, subscription.stop)
        async with subscription:
            report("ready")
            await subscription.wait()
    report("stopped")


def main() -> None:
    """Read the arguments and consume."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--concurrency", type=int, default=10)
    parser.add_argument("--s3", action="store_true")
    logging.basicConfig(level=logging.ERROR)  # failures that the seed causes would fill pages
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
