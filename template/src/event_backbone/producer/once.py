"""Producing once: whatever happens to the attempts at a handled event, they make one entry of a follow-up event.

The group of the handled event keeps the follow-up's event id before anything is sent, and its key once it is in its
stream. Between the two, every later attempt appends under the same id, which makes one entry while the stream remembers
the id. Once it has forgotten the id it refuses it, so that nothing can append under it any more; then the event is
looked for, in the stream and its archive, and only without one another id takes its place. An id that is ahead of the
server's time is treated alike, as the clock that made it is wrong.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

from event_backbone.backoff import Backoff, Delays
from event_backbone.errors import (
    EventIdAhead,
    EventIdExpired,
    NotSent,
    OnceInvalid,
    StorageUnavailable,
    StreamUnavailable,
)
from event_backbone.model import EventKey, FollowUp, KeptFollowUp, StreamName, new_event_id
from event_backbone.model.correlation import CurrentEvent, current_event
from event_backbone.wire import write_once_header

T = TypeVar("T")

FindEvent = Callable[[UUID], Awaitable[EventKey | None]]
"""Returns the key of the event with this id, wherever it is; None if there is none."""

_BACKOFF = Backoff(first=timedelta(milliseconds=50), longest=timedelta(seconds=1), jitter=0.5)

_log = logging.getLogger("event_backbone")


class OnceEntry(NamedTuple):
    """How an event is sent that is produced once.

    Attributes:
        event_id: the id that the group keeps.
        payload_id: the id under which the payload is saved: another one than the event id if an earlier attempt, whose
            arguments may have been different, may have saved a payload under that.
        header: what the entry's metadata says about the event that was handled; empty in a replay.
        deadline: until when it may be sent, in the event loop's time.
    """

    event_id: UUID
    payload_id: UUID
    header: str
    deadline: float


async def send_once(
    follow_up: FollowUp,
    find: FindEvent,
    timeout: timedelta,
    send: Callable[[OnceEntry], Awaitable[EventKey]],
    event_id: UUID | None = None,
) -> tuple[UUID, EventKey]:
    """Return the id and the key of the follow-up event; ``send`` it unless an earlier attempt did.

    It gets ``event_id``, which it has in another stream, if none is kept of it here, and the stream accepts it.

    Each step, but not a search for what an earlier attempt may have sent, ends within ``timeout``.
    """
    current = current_event()
    if current is None:
        raise OnceInvalid(
            "once= works only inside a handler, while its event is being handled, and in a batch handler only"
            " within `with each.handling():`; leave it out here."
        )
    header, loop = _header(current, follow_up), asyncio.get_running_loop()
    instead_of: UUID | None = None
    with current.producing(follow_up):
        while True:
            deadline, new_id = loop.time() + timeout.total_seconds(), new_event_id()
            kept = await _reserve(current, follow_up, event_id or new_id, instead_of, deadline)
            if kept.key is not None:
                return kept.event_id, kept.key
            try:
                key = await send(OnceEntry(kept.event_id, new_id, header, deadline))
            except (EventIdExpired, EventIdAhead):
                if kept.event_id == new_id:  # this machine's clock is wrong
                    raise
                found = await _search(find, kept.event_id)
                if found is None:
                    instead_of, event_id = kept.event_id, None
                    continue
                key, deadline = found, loop.time() + timeout.total_seconds()
            await _note(current, follow_up, kept.event_id, key, deadline)
            return kept.event_id, key


async def _reserve(
    current: CurrentEvent, follow_up: FollowUp, event_id: UUID, instead_of: UUID | None, deadline: float
) -> KeptFollowUp:
    try:
        return await _until(deadline, lambda: current.reserve(follow_up, event_id, instead_of=instead_of))
    except StreamUnavailable as error:
        raise NotSent(str(error)) from error


async def _search(find: FindEvent, event_id: UUID) -> EventKey | None:
    try:
        return await find(event_id)
    except (StreamUnavailable, StorageUnavailable) as error:
        raise NotSent(str(error)) from error


async def _note(current: CurrentEvent, follow_up: FollowUp, event_id: UUID, key: EventKey, deadline: float) -> None:
    """Note the key, if the server answers: the event is in its stream, where a later attempt finds it anyway."""
    try:
        await _until(deadline, lambda: current.note(follow_up, event_id, key))
    except StreamUnavailable as error:
        _log.warning("Event %s was produced, but not noted as produced once: %s", event_id, error)


async def _until(deadline: float, call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call while Redis is unavailable, until the deadline; then raise StreamUnavailable."""
    delays, unavailable = Delays(_BACKOFF), StreamUnavailable("Redis did not answer in time.")
    try:
        async with asyncio.timeout_at(deadline):
            while True:
                try:
                    return await call()
                except StreamUnavailable as error:
                    unavailable = error
                    await delays.wait()
    except TimeoutError:
        raise unavailable from None


def _header(current: CurrentEvent, follow_up: FollowUp) -> str:
    if not current.group:
        return ""  # no group keeps it, so there is nothing to restore
    metadata = current.metadata
    handled = StreamName(metadata.uri, metadata.environment, metadata.key.partition)
    return write_once_header(handled, metadata.key, str(metadata.event_id), current.group, follow_up.label)
