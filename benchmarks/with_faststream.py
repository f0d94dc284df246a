"""The peer on Redis streams: FastStream, with the same pydantic model."""

from __future__ import annotations

import asyncio
import logging

from faststream.redis import RedisBroker, StreamSub

from benchmarks.workload import Packing, example

STREAM = "faststream"


class WithFastStream:
    """Publishing with one broker."""

    def __init__(self, url: str) -> None:
        """Make the broker; ``start`` connects it. Its log of every message is switched off, in its favour."""
        logging.disable(logging.ERROR)
        self._url = url
        self._broker = RedisBroker(url)

    async def start(self) -> None:
        """Connect."""
        await self._broker.start()

    async def publish(self, number: int) -> None:
        """Publish one event."""
        await self._broker.publish(example(number), stream=STREAM)

    async def stop(self) -> None:
        """Disconnect."""
        await self._broker.stop()

    async def consume_one_by_one(self, total: int, group: str) -> None:
        """Consume with a typed subscriber of a group, event by event."""
        broker, done, seen = RedisBroker(self._url), asyncio.Event(), 0

        @broker.subscriber(stream=StreamSub(STREAM, group=group, consumer="one", last_id="0"))
        async def handle(event: Packing) -> None:  # noqa: ARG001 - its type is what FastStream validates by
            nonlocal seen
            seen += 1
            if seen == total:
                done.set()

        await _until(broker, done)

    async def consume_batches(self, total: int, group: str) -> None:
        """Consume with a typed subscriber of a group, in batches of 100."""
        broker, done, seen = RedisBroker(self._url), asyncio.Event(), 0

        @broker.subscriber(
            stream=StreamSub(STREAM, group=group, consumer="one", last_id="0", batch=True, max_records=100)
        )
        async def handle(events: list[Packing]) -> None:
            nonlocal seen
            seen += len(events)
            if seen >= total:
                done.set()

        await _until(broker, done)


async def _until(broker: RedisBroker, done: asyncio.Event) -> None:
    await broker.start()
    await asyncio.wait_for(done.wait(), timeout=120)
    await broker.stop()
