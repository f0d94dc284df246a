"""Whether Redis and the payload storage answer, in bounded time."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from event_backbone.errors import BackboneError, EventsLost
from event_backbone.web.error_texts import text_for_client

if TYPE_CHECKING:
    from event_backbone.backbone import Backbone
    from event_backbone.worker import Worker

_log = logging.getLogger("event_backbone")


def why_not_alive(worker: Worker | None) -> str | None:
    """Return a sentence if there is a worker and it has ended."""
    return None if worker is None or worker.alive else "The worker has ended."


async def why_not_ready(backbone: Backbone, timeout: timedelta, worker: Worker | None) -> str | None:
    """Return a sentence unless Redis and the payload storage answer within ``timeout``, and the worker reads events.

    The log has the details. What is not archived in time is no reason: ``why_not_archived`` says so.
    """
    if worker is not None and not all(each.ready for each in worker.subscriptions):
        return "The worker does not read events at the moment."
    if worker is not None and not all(each.ready for each in worker.projectors):
        return "A view is not up to date at the moment; the log says why, unless it is still being built."
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            await backbone.check()
    except BackboneError as error:
        _log.warning("Not ready: %s", error)
        return text_for_client(error)[1]
    except TimeoutError:
        return f"Redis and the payload storage did not answer within {timeout.total_seconds():g} seconds."
    return None


def why_not_forwarded(worker: Worker) -> str | None:
    """Return a sentence if the worker has a forwarder, and it does not forward."""
    late = [each for each in worker.forwarders if not each.ready]
    return "Events are not forwarded at the moment; the log says why." if late else None


def why_not_archived(worker: Worker) -> str | None:
    """Return a sentence if the worker has an archiver, and it does not archive in time."""
    late = [each for each in worker.archivers if not each.ready]
    if any(isinstance(each.problem, EventsLost) for each in late):
        return "Redis has lost events that the archive has; restore them."
    return "Events are not archived in time at the moment; the log says why." if late else None
