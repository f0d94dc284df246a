"""Holds the lock of a restore or a migration for as long as it works, however long its steps take."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from event_backbone.errors import StreamError, StreamUnavailable
from event_backbone.model import StreamName
from event_backbone.stream.redis.replacing import RedisReplacing

LOCKED_FOR = timedelta(seconds=30)
"""How long a restore that has crashed keeps others from beginning."""


@asynccontextmanager
async def locked(restoring: RedisReplacing, stream: StreamName) -> AsyncGenerator[None]:
    """Hold the lock in this context.

    Raises:
        StreamUnavailable: Redis does not answer.
        StreamError: another restore or migration has it.
    """
    if not await restoring.begin(secrets.token_hex(8), LOCKED_FOR):
        raise StreamError(
            f"Another restore or migration of stream {stream.key} is under way, or was interrupted less than "
            f"{LOCKED_FOR.total_seconds():.0f} s ago; run it again then."
        )
    renewing = asyncio.create_task(_keep(restoring))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait({renewing})
        with suppress(StreamUnavailable):  # what ended the restore says more; the lock ends by itself
            await restoring.end()


async def _keep(restoring: RedisReplacing) -> None:
    """Renew the lock until it is another restore's, which the next call of this one says."""
    with suppress(StreamError):
        while True:
            await asyncio.sleep(LOCKED_FOR.total_seconds() / 4)
            with suppress(StreamUnavailable):
                await restoring.renew(LOCKED_FOR)
