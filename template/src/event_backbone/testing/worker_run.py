"""Handle every event that is there, in a test: the project's own worker, until nothing is left."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from event_backbone.model import Metadata
from event_backbone.worker import Worker


async def handle_all(worker: Worker) -> None:
    """Run ``worker`` until its groups have nothing left to do and its views have all events, and stop it.

    Raises:
        BaseException: the first error of a handler, as it was raised, at once and without a retry; also why an event
            could not be decoded or loaded.
    """
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def note(metadata: Metadata, error: BaseException) -> None:
        if not failed.done():
            error.add_note(f"Event {metadata.event} {metadata.key} of {metadata.uri} failed.")
            failed.set_result(error)

    for subscription in worker.subscriptions:
        subscription.on_failure(note)
    for projector in worker.projectors:
        projector.on_failure(note)
    async with worker:
        idle = asyncio.create_task(worker.until_idle())
        try:
            waited: set[asyncio.Future[Any]] = {idle, failed}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                worker.stop(timedelta(0))
                raise failed.result()
            await idle
        finally:
            idle.cancel()
